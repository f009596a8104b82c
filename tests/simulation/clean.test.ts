/**
 * `clean` next to starts, and next to another of itself: it makes a lock file where there is none,
 * and removes it again.
 */
import { test } from 'node:test';
import { expectToBreak, expectToHold } from './expect.js';
import { allGuarantees, strayUndisturbed, type Guarantee, leavesNoLockFile } from './guarantees.js';
import { impatient } from './impatient.js';
import { mutate, type Edit } from './mutate.js';
import { place, scenario, staleSocket, unlinksLockUnderStarter, withClean, type Cast } from './scenarios.js';
import { putFile, type World } from './world.js';

const one: Cast = { processes: 1, starts: 2, releases: true, crashes: true, cleaners: 1, scheme: withClean };

const withLockFile = (world: World): World => putFile(staleSocket(world), place.lockPath, 'file');

test('one start, and clean → the guarantees hold in every state, whether there is a lock file or not', (t) => {
  expectToHold(t, scenario('1 process and clean', one));
  expectToHold(t, scenario('1 process, clean, and a lock file', { ...one, before: withLockFile }));
});

test('two starts and clean, one start and two cleans → they hold', async (t) => {
  const scheme = await impatient();
  const cast = { ...one, starts: 1, cleanings: 1, scheme } as const;
  expectToHold(t, scenario('2 processes and clean', { ...cast, processes: 2 }));
  expectToHold(t, scenario('1 process and 2 cleans', { ...cast, cleaners: 2 }));
});

for (const letter of 'SDUT')
  test(`a start, clean and a program without locks (${letter}) → they hold`, async (t) => {
    const more = 'SD'.includes(letter) ? { guarantees: [...allGuarantees, strayUndisturbed] } : {};
    expectToHold(t, scenario(`clean and ${letter}`, { ...one, cleanings: 1, with: letter, scheme: await impatient() }, more));
  });

test('a start, clean, and a process that unlinks the lock file → they hold, except for the known hole', async (t) => {
  const cast: Cast = { ...one, cleanings: 1, with: 'L', scheme: await impatient() };
  expectToHold(t, scenario('clean and L', cast, { excludes: unlinksLockUnderStarter }));
});

test('two cleans alone → no lock file is left, unless one was killed', (t) => {
  const guarantees = [...allGuarantees, leavesNoLockFile];
  expectToHold(t, scenario('2 cleans', { ...one, processes: 0, cleaners: 2 }, { guarantees }));
});

const mutants: readonly (readonly [name: string, edits: readonly Edit[], caughtBy: Guarantee['name'], cast?: Partial<Cast>])[] = [
  [
    'clean takes no lock',
    [
      {
        file: 'removeStale',
        from: 'const [guard, ...others] = stale.guards;',
        to: 'const [guard, ...others] = [];',
      },
    ],
    'G2',
  ],
  [
    'clean closes the lock file before it removes it',
    [
      {
        file: 'removeStale',
        from: 'yield* removeAndUnlock(guard, lockFd);',
        to: '{ yield* sys.close(lockFd); yield* sys.unlinkat(guard.lock.directory.fd, guard.lock.name); }',
      },
    ],
    'G4',
  ],
  [
    'clean removes the lock file before the socket file',
    [
      {
        file: 'removeStale',
        from: 'const outcome = yield* underLocks({ ...stale, guards: others }, socket);',
        to: 'if (made) yield* sys.unlinkat(guard.lock.directory.fd, guard.lock.name);\nconst outcome = yield* underLocks({ ...stale, guards: others }, socket);',
      },
    ],
    'G2',
  ],
  [
    'clean does not wait for a bind that is halfway',
    [{ file: 'removeStale', from: "return there === 'ENOENT' ? { outcome: 'gone' } : yield*", to: 'return yield*' }],
    'G4',
    { with: 'S' },
  ],
  [
    'clean leaves the lock file that it made',
    [
      {
        file: 'removeStale',
        from: 'if (made)\n        yield* removeAndUnlock',
        to: 'if (false)\n        yield* removeAndUnlock',
      },
    ],
    'G5',
    { processes: 0 },
  ],
];

for (const [name, edits, caughtBy, more] of mutants)
  test(`mutant: ${name} → ${caughtBy} breaks`, async (t) => {
    const guarantees = [...allGuarantees, strayUndisturbed, leavesNoLockFile].filter((guarantee) => guarantee.name === caughtBy);
    expectToBreak(t, scenario(name, { ...one, ...more, scheme: await mutate(edits) }, { guarantees }), caughtBy);
  });
