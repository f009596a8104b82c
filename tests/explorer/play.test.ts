import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explore } from '../simulation/explore.js';
import { Play, playables, scenarioOf } from '../simulation/play.js';
import { parseSchedule } from '../simulation/schedule.js';
import { clientView, files } from '../simulation/scene.js';

const two = { processes: 2, outsiders: '', stale: true };

for (const { key, caughtBy } of playables) {
  if (caughtBy === undefined) continue;
  test(`${key}: the shortest failure is found and played → its last move breaks ${caughtBy}, and none before`, () => {
    const setting = { ...two, scheme: key, stale: key !== 'unlink-at-exit' };
    const whole = scenarioOf(setting, 2);
    const { violation } = explore({ ...whole, guarantees: whole.guarantees.filter(({ name }) => name === caughtBy) });
    const play = new Play(setting);
    for (const move of violation!.moves) assert.ok(play.make(move));
    assert.equal(play.broken(play.length - 1).has(caughtBy), false);
    assert.equal(play.broken(play.length).get(caughtBy)?.at, play.length);
  });
}

test('a second start unlinks the path of a holder → the page shows a holder that no client finds', () => {
  const play = played('unlink-first', 'A4 B1');
  assert.deepEqual(clientView(play.moment(4)), { reaches: 0, why: 'served', lost: [] });
  assert.deepEqual(clientView(play.moment(5)), { errno: 'ENOENT', why: 'nothing', lost: [0] });
  const nameless = files(play.moment(5)).filter(({ name }) => name === undefined);
  assert.deepEqual(
    nameless.map(({ type, users, listening }) => ({ type, users, listening })),
    [{ type: 'socket', users: [0], listening: true }],
  );
  assert.match(play.broken(5).get('G2')!.what, /^B takes the name of A$/);
});

test('a start of reuseaddr meets a holder → it is refused as held, and the holder is still reached', () => {
  const play = new Play({ ...two, scheme: 'reuseaddr' });
  run(play, 0);
  assert.equal(play.told.at(-1)!.event, 'holds the address');
  run(play, 1);
  assert.equal(play.told.at(-1)!.event, 'is refused: held (EADDRINUSE)');
  assert.equal(clientView(play.moment(play.length)).reaches, 0);
  assert.deepEqual(files(play.moment(play.length)).find(({ name }) => name === '/run/app.sock.lock')?.lockedBy, [0]);
  assert.equal(play.make({ process: 0, crash: true }), true);
  assert.equal(play.told.at(-1)!.event, 'dies');
  run(play, 1);
  assert.equal(clientView(play.moment(play.length)).reaches, 1);
  assert.equal(play.broken(play.length).size, 0);
});

test('a server of plain Node dies → the page says in words what a fresh start would come to', () => {
  const play = new Play({ ...two, scheme: 'unlink-at-exit', stale: false });
  for (const move of parseSchedule(play.scenario, 'A4 !A')) assert.ok(play.make(move));
  assert.deepEqual(play.broken(play.length).get('G3'), { what: 'a fresh start is refused: stray (EADDRINUSE)', at: 3 });
});

test('moves are cut off → the state before them is back, and other moves can be made', () => {
  const play = played('unlink-first', 'A4 B1');
  play.cut(4);
  assert.equal(play.broken(play.length).size, 0);
  assert.ok(play.make({ process: 0, crash: true }));
  assert.equal(clientView(play.moment(play.length)).why, 'dead');
});

test('a process that has not started is to crash → that is no move', () => {
  assert.equal(new Play({ ...two, scheme: 'reuseaddr' }).make({ process: 0, crash: true }), false);
});

function played(scheme: string, schedule: string): Play {
  const play = new Play({ ...two, scheme });
  for (const move of parseSchedule(play.scenario, schedule)) assert.ok(play.make(move));
  return play;
}

/** On until the process holds, is refused or has stopped. */
function run(play: Play, process: number): void {
  const phase = play.phase(play.length, process);
  for (let moves = 0; moves < 100 && play.phase(play.length, process) === phase; moves++)
    assert.ok(play.make({ process, crash: false }));
}
