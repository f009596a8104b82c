/**
 * `clean --locks` next to starts, and next to another of itself: it removes the lock file that a
 * release or a crash left.
 */
import { test } from 'node:test';
import { expectToBreak, expectToHold } from './expect.js';
import { allGuarantees, type Guarantee } from './guarantees.js';
import { mutateLocks, type Edit } from './mutate.js';
import { scenario, staleSocket, type Cast } from './scenarios.js';
import type { World } from './world.js';

const rests: Edit = { file: 'lock', from: '[0.1, 0.2, 0.4, 0.8, 1.6]', to: '[0.1]' };

const nothing = (empty: World): World => empty;

const one: Cast = { processes: 1, starts: 2, releases: true, crashes: true, cleaners: 1, before: nothing };

for (const before of [nothing, staleSocket])
  test(`starts, clean --locks, and a program without locks; first ${before === nothing ? 'no file' : 'a stale socket'} → the guarantees hold in every state`, async (t) => {
    const cast: Cast = { ...one, before, scheme: await mutateLocks([rests]) };
    expectToHold(t, scenario('1 process, and clean --locks twice', cast));
    expectToHold(t, scenario('2 processes and clean --locks', { ...cast, processes: 2, starts: 1, cleanings: 1 }));
    expectToHold(t, scenario('1 process, S and clean --locks', { ...cast, cleanings: 1, with: 'S' }));
    expectToHold(t, scenario('1 process and 2 clean --locks', { ...cast, starts: 1, cleanings: 1, cleaners: 2 }));
  });

const mutants: readonly (readonly [name: string, edits: readonly Edit[], caughtBy: Guarantee['name']])[] = [
  [
    'clean --locks takes no lock',
    [
      {
        file: 'removeLock',
        from: 'yield* lockFile(place, false, termsOfExisting)',
        to: '{ lockFd: yield* sys.openat(place.lock.directory.fd, place.lock.name, "O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC", 0) }',
      },
    ],
    'G4',
  ],
  [
    'clean --locks closes the lock file before it removes it',
    [
      {
        file: 'removeLock',
        from: "const removed = second === 'proved' ?",
        to: 'yield* sys.close(lockFd);\nyield* sys.unlinkat(place.lock.directory.fd, place.lock.name);\nconst removed = false ?',
      },
    ],
    'G4',
  ],
];

for (const [name, edits, caughtBy] of mutants)
  test(`mutant: ${name} → ${caughtBy} breaks`, async (t) => {
    const guarantees = allGuarantees.filter((guarantee) => guarantee.name === caughtBy);
    const cast: Cast = { ...one, scheme: await mutateLocks([...edits, rests]) };
    expectToBreak(t, scenario(name, cast, { guarantees }), caughtBy);
  });
