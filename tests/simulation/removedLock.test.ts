/**
 * Holders that remove their lock file as the last step of a release, next to waiters, starters, and
 * holders that keep it.
 */
import { test } from 'node:test';
import type { Terms } from '#dist/claim/bindUnderLock.js';
import { expectToBreak, expectToHold } from './expect.js';
import { allGuarantees, type Guarantee, leavesNoLockFile } from './guarantees.js';
import { life, type Scheme } from './lives.js';
import { mutateCode, type Edit } from './mutate.js';
import { place, scenario, terms, withClean, type Cast } from './scenarios.js';

type Rule = NonNullable<Terms['lockFile']>;

/** The pauses of a start change nothing: see `impatient.ts`. */
const impatient: Edit = { file: 'lock', from: '[0.1, 0.2, 0.4, 0.8, 1.6]', to: '[0.1]' };

/** A scheme whose claims follow this rule. */
async function ruled(lockFile: Rule, wait = false, edits: readonly Edit[] = [impatient]): Promise<Scheme> {
  const code = await mutateCode(edits);
  return {
    ...withClean,
    name: `${lockFile} ${wait}`,
    start: () => code.acquire(place, { ...terms, lockFile }, wait),
    release: code.release,
  };
}

const cast: Cast = { processes: 2, starts: 2, releases: true, crashes: true };

for (const wait of [false, true])
  for (const rule of ['remove', 'remove-made'] as const)
    test(`two ${wait ? 'standbys' : 'processes'}, ${rule} → the guarantees hold in every state`, async (t) => {
      expectToHold(t, scenario(`2 processes, ${rule}`, { ...cast, scheme: await ruled(rule, wait) }));
    });

test('three processes that start once, remove → they hold', async (t) => {
  const scheme = await ruled('remove');
  expectToHold(t, scenario('3 processes, remove', { ...cast, processes: 3, starts: 1, scheme }));
});

test('one that removes the lock file, one that keeps it, and one that waits → they hold', async (t) => {
  const schemes = [await ruled('remove'), await ruled('keep'), await ruled('remove-made', true)];
  const processes = schemes.map((scheme, i) => ({
    letter: 'ABC'.charAt(i),
    life: life(scheme, place, { ...cast, starts: 1 }),
  }));
  expectToHold(t, scenario('remove, keep and wait', { ...cast, processes: 3 }, { processes, alike: 0 }));
});

test('a holder that removes its lock file, and clean → they hold', async (t) => {
  const scheme = await ruled('remove');
  expectToHold(t, scenario('remove and clean', { ...cast, processes: 1, cleaners: 1, cleanings: 1, scheme }));
});

for (const letter of 'ST')
  test(`a program without locks (${letter}) next to it → they hold`, async (t) => {
    const scheme = await ruled('remove');
    expectToHold(t, scenario(`remove and ${letter}`, { ...cast, starts: 1, with: letter, scheme }));
  });

test('two processes end without a crash, remove → no lock file is left', async (t) => {
  const guarantees = [...allGuarantees, leavesNoLockFile];
  expectToHold(t, scenario('2 processes', { ...cast, crashes: false, scheme: await ruled('remove') }, { guarantees }));
});

const mutants: readonly (readonly [name: string, edits: readonly Edit[], caughtBy: Guarantee['name']])[] = [
  [
    'the lock is let go before the lock file is removed',
    [
      {
        file: 'lock',
        from: 'yield* unlinkLocked(place, fd);\n    }\n    finally {\n        yield* sys.close(fd);\n    }',
        to: 'yield* sys.close(fd);\n        yield* sys.unlinkat(place.lock.directory.fd, place.lock.name);\n    }\n    finally { }',
      },
    ],
    'G5',
  ],
];

for (const [name, edits, caughtBy] of mutants)
  test(`mutant: ${name} → ${caughtBy} breaks`, async (t) => {
    const guarantees = allGuarantees.filter((guarantee) => guarantee.name === caughtBy);
    expectToBreak(
      t,
      scenario(name, { ...cast, scheme: await ruled('remove', false, [impatient, ...edits]) }, { guarantees }),
      caughtBy,
    );
  });

test('mutant: a start does not compare the inodes after it has locked → G2 breaks', async (t) => {
  const edit: Edit = {
    file: 'lock',
    from: "const named = yield* sys.fstatat(place.lock.directory.fd, place.lock.name);\n    if (named === 'ENOENT')",
    to: "const named = opened;\n    if (named === 'ENOENT')",
  };
  const scheme = await ruled('remove', false, [impatient, edit]);
  const processes = [2, 1, 1].map((starts, i) => ({ letter: 'ABC'.charAt(i), life: life(scheme, place, { ...cast, starts }) }));
  const guarantees = allGuarantees.filter(({ name }) => name === 'G1' || name === 'G2');
  expectToBreak(t, scenario('no comparison', { ...cast, processes: 3, scheme }, { processes, alike: 0, guarantees }), 'G2');
});
