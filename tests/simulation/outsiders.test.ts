import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRefusal } from '#dist/claim/refusal.js';
import { expectToBreak, expectToHold } from './expect.js';
import { allGuarantees, strayUndisturbed, type Guarantee } from './guarantees.js';
import { impatient } from './impatient.js';
import { replay } from './schedule.js';
import { scenario, unlinksLockedFile, unlinksLockUnderStarter, type Cast } from './scenarios.js';
import type { Scenario } from './machine.js';

const two: Cast = { processes: 2, starts: 2, releases: true, crashes: true };
const three: Cast = { ...two, processes: 3 };
const undisturbed: Partial<Scenario> = { guarantees: [...allGuarantees, strayUndisturbed] };

/**
 * With two processes the code as it is; with three, and with pairs of outsiders, less patient
 * (`impatient.ts`).
 */
const alone: readonly (readonly [letter: string, who: string, more?: Partial<Scenario>])[] = [
  ['K', 'a cleaner locks the lock file for a moment', undisturbed],
  ['S', 'a stranger binds the path without the lock', undisturbed],
  ['T', 'a stranger unlinks the path and binds it'],
  ['U', 'a program unlinks the socket file'],
  ['R', 'a regular file is renamed over the path'],
  ['L', 'a program unlinks the lock file', { excludes: unlinksLockUnderStarter }],
];

for (const [letter, who, more] of alone) {
  test(`${who} → the guarantees hold for two and three processes`, async (t) => {
    expectToHold(t, scenario(`2 processes and ${letter}`, { ...two, with: letter }, more));
    // With T and L two lives of three processes are two million states each; they hold too.
    const starts = 'TL'.includes(letter) ? 1 : 2;
    expectToHold(t, scenario(`3 processes and ${letter}`, { ...three, starts, with: letter, scheme: await impatient() }, more));
  });
}

const pairs: readonly (readonly [letters: string, who: string, more?: Partial<Scenario>])[] = [
  ['KS', 'a cleaner and a stranger', undisturbed],
  ['ST', 'a stranger, and another that unlinks first'],
  ['TU', 'a stranger that unlinks first, and a program that unlinks'],
  ['TR', 'a stranger that unlinks first, and a regular file'],
  ['KT', 'a cleaner, and a stranger that unlinks first'],
  ['LK', 'a cleaner, and a program that unlinks the lock file', { excludes: unlinksLockUnderStarter }],
  ['LM', 'two who unlink the lock file', { excludes: unlinksLockUnderStarter }],
  ['LU', 'two who unlink the lock file and the socket file', { excludes: unlinksLockedFile }],
  ['LT', 'a program that unlinks the lock file, and a stranger that unlinks first', { excludes: unlinksLockedFile }],
];

for (const [letters, who, more] of pairs) {
  test(`${who} → the guarantees hold`, async (t) => {
    const cast: Cast = { ...two, starts: letters === 'LT' ? 1 : 2, with: letters, scheme: await impatient() };
    expectToHold(t, scenario(`2 processes and ${letters}`, cast, more));
  });
}

test('known hole: the lock file is unlinked while a start is on its way to bind → another start loses its name for a moment', (t) => {
  const hole = scenario('the hole', { ...two, with: 'L' });
  const schedule = expectToBreak(t, hole, 'G2');
  for (const line of replay(hole, schedule)) t.diagnostic(line);
});

test('known hole: the lock file and the socket file are unlinked under a release → the next holder loses its name for a moment', (t) => {
  const hole = scenario('the hole at release', { ...two, with: 'LU' }, { excludes: unlinksLockUnderStarter });
  const schedule = expectToBreak(t, hole, 'G2');
  const lines = replay(hole, schedule);
  assert.ok(lines.some((line) => line.startsWith('L  unlinkat(/run/app.sock.lock)')));
  for (const line of lines) t.diagnostic(line);
});

test('the place aside is occupied by another process, and a dead socket is at the path → only after two outsiders came between', (t) => {
  const never: Guarantee = {
    name: 'G3',
    afterFreshStart: ({ outcome }) =>
      isRefusal(outcome) && outcome.refused === 'aside-occupied' ? 'a fresh start is refused: aside-occupied' : undefined,
  };
  const cast: Cast = { ...two, processes: 1 };
  for (const letter of 'KLRSTU')
    expectToHold(t, scenario(`aside, with ${letter}`, { ...cast, with: letter }, { guarantees: [never] }));
  expectToBreak(t, scenario('aside, with R and S', { ...cast, with: 'RS' }, { guarantees: [never] }), 'G3');
});
