import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectToHold } from '../simulation/expect.js';
import { formatLink, parseLink, type Linked } from '../simulation/link.js';
import { Play, scenarioOf } from '../simulation/play.js';
import { formatSchedule, parseSchedule } from '../simulation/schedule.js';

const linked: Linked = { scheme: 'reuseaddr', processes: 3, outsiders: 'KS', stale: false, schedule: 'A3 B12 !A K2', at: 4 };

test('a state is made a link and read again → it is the same', () => {
  const link = formatLink(linked);
  assert.equal(link, '#scheme=reuseaddr&processes=3&with=KS&directory=empty&schedule=A3+B12+!A+K2&at=4');
  assert.deepEqual(parseLink(link), linked);
});

test('a browser or a mailer has encoded the link → it is read all the same', () => {
  assert.deepEqual(parseLink(formatLink(linked).replaceAll('+', '%20').replaceAll('!', '%21')), linked);
});

test('a link that cannot be shown → the error says what is wrong with it', () => {
  assert.throws(() => parseLink('#processes=2'), /names no scheme/);
  assert.throws(() => parseLink('#scheme=reuseaddr&processes=9'), /9 processes/);
  assert.throws(() => parseLink('#scheme=reuseaddr&with=KK'), /outsiders/);
  assert.throws(() => parseLink('#scheme=reuseaddr&at=x'), /no number/);
  assert.throws(() => new Play(parseLink('#scheme=prayer')), /no scheme "prayer"/);
  assert.throws(() => parseSchedule(scenarioOf(linked), 'Z1'), /no move/);
});

test('the simulation fails → its message has a link, and the link shows that failure', (t) => {
  const setting = { scheme: 'unlink-first', processes: 2, outsiders: '', stale: true };
  const message = catchMessage(() => expectToHold(t, scenarioOf(setting, 2)));
  const [, fragment = '', schedule = ''] = /explorer\/index\.html(#\S*&schedule=(\S+))/.exec(message) ?? [];
  assert.ok(message.includes(`'${schedule.replaceAll('+', ' ')}'`), 'the link has the very schedule of the message');
  const play = new Play(parseLink(fragment));
  for (const move of parseSchedule(play.scenario, parseLink(fragment).schedule)) assert.ok(play.make(move));
  assert.equal(formatSchedule(play.scenario, play.moves), schedule.replaceAll('+', ' '));
  assert.equal(play.broken(play.length).size, 1);
});

function catchMessage(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return assert.fail('it did not fail');
}
