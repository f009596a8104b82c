import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectToHold } from './expect.js';
import { impatient } from './impatient.js';
import { keyOf } from './numbers.js';
import { productionWithRecord, scenario } from './scenarios.js';

const crashes = true;
const releases = true;

test('2 processes start, release and start again, crashing anywhere → G1 to G6 and G8 hold in every state', (t) => {
  expectToHold(t, scenario('2 processes, 2 lives', { processes: 2, starts: 2, releases, crashes }));
});

test('the same in an empty directory → they hold', (t) => {
  expectToHold(t, scenario('empty directory', { processes: 2, starts: 2, releases, crashes, before: (world) => world }));
});

test('the same with a record in the lock file → they hold', (t) => {
  expectToHold(t, scenario('with a record', { processes: 2, starts: 2, releases, crashes, scheme: productionWithRecord }));
});

test('a dead process has its descriptors closed one after another, the lock first → they hold', (t) => {
  expectToHold(t, scenario('2 processes, 2 lives, slow deaths', { processes: 2, starts: 2, releases, crashes: 'slowly' }));
  expectToHold(t, scenario('3 processes, slow deaths', { processes: 3, starts: 1, releases, crashes: 'slowly' }));
});

test('3 processes start, release and crash anywhere → they hold', (t) => {
  expectToHold(t, scenario('3 processes, 1 life', { processes: 3, starts: 1, releases, crashes }));
});

test('3 processes start, release, crash anywhere and start again → they hold', async (t) => {
  const scheme = await impatient();
  expectToHold(t, scenario('3 processes, 2 lives', { processes: 3, starts: 2, releases, crashes, scheme }));
});

test('finished sub-operations are told apart by all their calls → the same worlds and as many schedules, in more states', (t) => {
  const cast = { processes: 2, starts: 1, releases, crashes } as const;
  const forgetful = expectToHold(t, scenario('known by outcome', cast));
  const thorough = expectToHold(t, scenario('known by every call', cast, { forgets: false }));
  assert.equal(thorough.schedules, forgetful.schedules);
  assert.ok(thorough.states > forgetful.states);
  assert.deepEqual(new Set(thorough.worlds.map(keyOf)), new Set(forgetful.worlds.map(keyOf)));
});
