import assert from 'node:assert/strict';
import { test } from 'node:test';
import { violations } from './soakCheck.js';
import type { Attempt, Look, RoundRecord } from './soakRecord.js';

type Part = Partial<Attempt> & Pick<Attempt, 'id'>;

/** A round with these attempts, which begin at 0 and are over at 100 where nothing else is said. */
function judge(attempts: readonly Part[], rest: Partial<Omit<RoundRecord, 'attempts'>> = {}): string {
  const whole = attempts.map((part): Attempt => ({ kind: 'start', pid: 1, asked: 0, gone: 100, ...part }));
  return violations({ attempts: whole, looks: [], deaths: [], cleanings: [], displaced: [], ...rest }).join('\n');
}

const look = (from: number, found: Partial<Look>): Look => ({ from, to: from + 1, ...found });
const ends = (at: number, how: NonNullable<Attempt['end']>['how']): Pick<Attempt, 'end'> => ({ end: { at, how } });
const refused = (at: number, reason: string): Pick<Attempt, 'refused' | 'gone'> => ({
  refused: { at, code: 'EADDRINUSE', reason, message: '' },
  gone: at,
});

/** From 10 to 50, when it says that it releases. */
const holder = { id: 'A', acquired: 10, socket: 1, ...ends(50, 'releasing'), gone: 60 };
/** Has the address from A, by 20. */
const old = { ...holder, ...ends(19, 'handed over'), gone: 19 };
const successor: Part = { id: 'B', kind: 'takeover', acquired: 20, socket: 1, ...ends(50, 'releasing') };

test('soak checker: a second holder is seen, unless the first has handed over or its process may have ended', () => {
  assert.equal(judge([holder, { id: 'B', acquired: 51, socket: 2, ...ends(90, 'releasing') }]), '');
  assert.match(judge([holder, { id: 'B', acquired: 40, socket: 2, ...ends(90, 'releasing') }]), /G1: B .* while A/);
  // It was stopped after it had handed over, and says so late; or was killed then.
  assert.equal(judge([{ ...holder, ...ends(30, 'handed over'), gone: 30 }, successor]), '');
  assert.equal(judge([{ ...holder, ...ends(30, 'process ends') }, successor]), '');
  assert.match(judge([holder, successor]), /G1: B/);
  // B has no handover from A: it listens anew.
  assert.match(
    judge([
      { ...holder, ...ends(30, 'process ends') },
      { ...successor, socket: 2 },
    ]),
    /G1: B/,
  );
  // A third has taken over from A, and was killed before it could say so.
  const unheard: Part = { id: 'C', kind: 'takeover', ...ends(15, 'process ends') };
  assert.equal(judge([{ ...holder, ...ends(30, 'process ends') }, { ...successor, socket: 2 }, unheard]), '');
});

test('soak checker: an answer of an unknown process, of one that has closed, was refused, or has a successor is seen', () => {
  assert.match(judge([holder], { looks: [look(20, { said: 'X' })] }), /which is unknown/);
  assert.equal(judge([holder], { looks: [look(55, { said: 'A' })] }), '');
  assert.match(judge([holder], { looks: [look(61, { said: 'A' })] }), /after it had closed all/);
  assert.match(judge([old, successor], { looks: [look(21, { said: 'A' })] }), /after it had closed all/);
  const late = { ...old, ...ends(30, 'handed over'), gone: 30 };
  assert.match(judge([late, successor], { looks: [look(21, { said: 'A' })] }), /after B had the address/);
  assert.equal(judge([late, successor], { looks: [look(18, { said: 'B' })] }), '');
  const other = { id: 'B', ...refused(30, 'held') };
  assert.match(judge([holder, other], { looks: [look(20, { said: 'B' })] }), /and was refused/);
  assert.equal(judge([holder, { ...other, kind: 'takeover' }], { looks: [look(20, { said: 'B' })] }), '');
  assert.match(judge([holder, { ...other, kind: 'takeover' }], { looks: [look(31, { said: 'B' })] }), /after it had closed all/);
});

test('soak checker: a refused connection is seen while the address is held, also by one after the other', () => {
  const nobody = [look(12, { failure: 'ECONNREFUSED' })];
  assert.match(judge([holder], { looks: nobody }), /G7: ECONNREFUSED .* while A/);
  assert.equal(judge([holder], { looks: [look(49.5, { failure: 'ENOENT' })] }), '');
  assert.equal(judge([holder], { looks: [look(20, { failure: 'EAGAIN' })] }), '');
  // No death excuses the lack of a server: the socket was handed over.
  const deaths = [{ from: 11, to: 30 }];
  assert.match(judge([{ ...holder, ...ends(11, 'process ends') }, successor], { looks: nobody, deaths }), /G7: ECONNREFUSED/);
  // Unless one who is dead now may have had it last.
  const unheard: Part = { id: 'C', kind: 'takeover', ...ends(11, 'process ends') };
  assert.equal(judge([{ ...holder, ...ends(30, 'handed over'), gone: 30 }, unheard], { looks: nobody, deaths }), '');
});

test('soak checker: a client that is cut off was accepted by a process that died, or it is seen', () => {
  const cut = [look(20, { failure: 'ECONNRESET' })];
  assert.match(judge([holder], { looks: cut }), /G7: ECONNRESET/);
  assert.match(judge([holder], { looks: [look(20, {})] }), /G7: closed without an answer/);
  assert.equal(judge([holder], { looks: cut, deaths: [{ from: 15, to: 20.5 }] }), '');
  assert.match(judge([holder], { looks: cut, deaths: [{ from: 15, to: 19 }] }), /G7: ECONNRESET/);
});

test('soak checker: a refusal needs a process that may have had the address, and a stray one that listens without a lock', () => {
  const start = (reason: string): Part => ({ id: 'B', asked: 70, ...refused(75, reason) });
  assert.match(judge([holder, start('held')]), /G3: B was refused while no process/);
  assert.equal(judge([{ ...holder, gone: 71 }, start('held')]), '');
  assert.equal(judge([holder, start('starting')], { cleanings: [{ from: 71, to: 72 }] }), '');
  assert.match(judge([{ ...holder, gone: 71 }, start('lock-unstable')]), /G3: B was refused with/);
  assert.match(judge([{ ...holder, gone: 80 }, start('stray')]), /G1: B came past the lock/);
  assert.equal(judge([{ ...holder, gone: 80 }, start('stray')], { deaths: [{ from: 60, to: 71 }] }), '');
  assert.equal(judge([{ ...holder, kind: 'stray', gone: 80 }, start('stray')]), '');
  // No process has removed the socket file of this holder, which has it all the time.
  assert.match(judge([{ ...holder, ...ends(90, 'releasing'), gone: 95 }, start('displaced')]), /G3: B was refused with/);
  assert.equal(judge([{ ...holder, gone: 80 }, start('displaced')]), '');
  const displacer: Part = { id: 'D', kind: 'displacer', asked: 20, acquired: 21, ...ends(22, 'releasing'), gone: 25 };
  assert.equal(judge([{ ...holder, ...ends(90, 'releasing'), gone: 95 }, displacer, start('displaced')]), '');
});

test('soak checker: a handover to no process is seen, and a process that is displaced without a displacer', () => {
  assert.match(judge([old]), /G7: A says that it has handed over/);
  assert.equal(judge([old, { id: 'C', kind: 'takeover', ...ends(30, 'process ends') }]), '');
  const displaced = [{ at: 30, id: 'A', what: 'socket' }];
  const displacer: Part = { id: 'D', kind: 'displacer', asked: 25, acquired: 29, ...ends(90, 'releasing') };
  assert.match(judge([holder], { displaced }), /G2: A was displaced/);
  assert.equal(judge([holder, displacer], { displaced }), '');
  assert.match(judge([holder, displacer], { displaced: [{ ...displaced[0]!, what: 'lock' }] }), /G2/);
});

test('soak checker: what a displacer binds must stay, once all is done that was going on', () => {
  const displacer: Part = { id: 'D', kind: 'displacer', asked: 25, acquired: 29, ...ends(90, 'releasing') };
  assert.equal(judge([holder, displacer]), '');
  assert.equal(judge([holder, displacer], { looks: [look(30, { said: 'D' })] }), '');
  // The release of A, at 50, took a socket away that is not its own.
  assert.match(judge([holder, displacer], { looks: [look(55, { failure: 'ENOENT' })] }), /G7: ENOENT .* while D/);
  const releasing = { ...holder, ...ends(28, 'releasing'), gone: 40 };
  assert.equal(judge([releasing, displacer], { looks: [look(35, { failure: 'ENOENT' })] }), '');
  assert.match(judge([releasing, displacer], { looks: [look(41, { failure: 'ENOENT' })] }), /G7: ENOENT/);
  assert.match(judge([displacer, { id: 'E', asked: 40, acquired: 45, ...ends(90, 'releasing') }]), /G1: E .* while D/);
});
