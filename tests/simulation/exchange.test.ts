import { test } from 'node:test';
import { acquire } from '#dist/claim/acquire.js';
import { placeIn, resolve } from '#dist/claim/place.js';
import { release } from '#dist/claim/release.js';
import { exchanges, exchangeScenario, type Code } from './exchange.js';
import { expectToBreak, expectToHold } from './expect.js';
import { mutateCode } from './mutate.js';

const production: Code = { acquire, release, resolve, placeIn };
const kinds = Object.keys(exchanges) as (keyof typeof exchanges)[];

for (const kind of kinds) {
  for (const theirs of [undefined, 'socket', 'file'] as const) {
    const what = theirs === undefined ? 'empty' : `with a ${theirs} of this name`;
    test(`an outsider puts ${kind} (${what}) at any moment → each start keeps to the directory that it has pinned`, (t) => {
      expectToHold(t, exchangeScenario(kind, production, { processes: 1, starts: 2 }, theirs));
      expectToHold(t, exchangeScenario(kind, production, { processes: 2, starts: 1 }, theirs));
    });
  }
}

test('mutant: the place is resolved again before bind → a name in another directory changes', async (t) => {
  const code = await mutateCode([
    { file: 'acquire', from: `from './lock.js';`, to: `from './lock.js';\nimport { resolve } from './place.js';` },
    {
      file: 'acquire',
      from: 'const bound = yield* bindUnderLock(place, terms);',
      to: `const again = yield* resolve({ kind: 'pathname', path: place.path });\n    const bound = isRefusal(again) ? again : yield* bindUnderLock(again.place, terms);`,
    },
  ]);
  expectToBreak(t, exchangeScenario('another directory in its place', code, { processes: 1, starts: 1 }, 'socket'), 'G4');
});

test('mutant: what landed in the other directory is not taken away → it is left', async (t) => {
  const code = await mutateCode([
    { file: 'bindUnderLock', from: 'if (!failed(bound))\n            yield* removeIf(elsewhere, isBound(bound));', to: '' },
  ]);
  expectToBreak(t, exchangeScenario('another directory in its place', code, { processes: 1, starts: 1 }), 'G5');
});

test('mutant: a lock file is opened by its path → it is made in another directory', async (t) => {
  const code = await mutateCode([
    {
      file: 'lock',
      from: 'const created = yield* create(place);',
      to: `const flags = 'O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';
        const made = yield* sys.openat(-100, lockPath, flags, lockMode);
        const created = failed(made) ? made : { lockFd: made, made: true };`,
    },
  ]);
  expectToBreak(t, exchangeScenario('another directory in its place', code, { processes: 1, starts: 1 }), 'G4');
});
