import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectToHold } from './expect.js';
import type { Exploration } from './explore.js';
import { impatient } from './impatient.js';
import { keyOf } from './numbers.js';
import { productionWithRecord, scenario, standby, unlinksLockUnderStarter } from './scenarios.js';
import { permute, type World } from './world.js';

// Explored without a gap: every order of the system calls of two or three processes, each a step of
// its own (but for those that concern no other process, `isLocal`), with a crash before and after
// each of them; bind(2) in two halves; inode numbers given again at once. Bounded: how many lives a
// process has, the actions of the outsiders (`outsiders.ts`), and in the larger scenarios the rests
// (`impatient.ts`). Not simulated: permissions, long paths, other file systems' ways with inode
// numbers, handover.

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

test('standbys wait for the lock of holders that release and crash → they hold, and none waits indefinitely', (t) => {
  expectToHold(t, scenario('3 standbys, 2 lives', { processes: 3, starts: 2, releases, crashes, scheme: standby }));
  const more = { excludes: unlinksLockUnderStarter };
  expectToHold(t, scenario('2 standbys and L', { processes: 2, starts: 2, releases, crashes, scheme: standby, with: 'L' }, more));
});

test('finished sub-operations are told apart by all their calls → the same worlds and as many schedules, in more states', (t) => {
  const cast = { processes: 2, starts: 1, releases, crashes } as const;
  const forgetful = expectToHold(t, scenario('known by outcome', cast));
  const thorough = expectToHold(t, scenario('known by every call', cast, { forgets: false }));
  assert.equal(thorough.schedules, forgetful.schedules);
  assert.ok(thorough.states > forgetful.states);
  assert.deepEqual(worldsOf(thorough), worldsOf(forgetful));
});

test('a start rests once instead of five times → the same worlds, in fewer states', async (t) => {
  const cast = { processes: 2, starts: 2, releases, crashes, with: 'S' } as const;
  const patient = expectToHold(t, scenario('five rests', cast));
  const hasty = expectToHold(t, scenario('one rest', { ...cast, scheme: await impatient() }));
  assert.ok(hasty.states < patient.states);
  assert.deepEqual(worldsOf(hasty), worldsOf(patient));
});

/** The worlds that were met, without regard to which of the first two processes is which. */
function worldsOf({ worlds }: Exploration): Set<string> {
  const swapped = (world: World): World => permute(world, [1, 0, ...world.descriptors.keys()].toSpliced(2, 2));
  return new Set(worlds.map((world) => [keyOf(world), keyOf(swapped(world))].toSorted()[0]!));
}
