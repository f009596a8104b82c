import { AT_FDCWD } from '#dist/kernel/kernel.js';
import { socketTypeDefault, type SocketType } from '#dist/address/socketType.js';
import { acquire } from '#dist/claim/acquire.js';
import { bindUnderLock } from '#dist/claim/bindUnderLock.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { release, removeSocketFile } from '#dist/claim/release.js';
import { hear, offer, type Offered } from '#dist/handover/offer.js';
import { askHolder } from '#dist/handover/askHolder.js';
import type { Conversation, SystemCall } from '#dist/kernel/kernel.js';
import { placeByPath } from './placeByPath.js';
import type { ProcessState } from './handoverWorld.js';

export const place = placeByPath('/run', 'app');
const handover = place.handover!;
const target = { place };
export const terms = { mode: 0o600, backlog: 8, record: '' };

/** The types of the holder's socket, and of those that the newcomers ask for. */
export interface Types {
  readonly holder?: SocketType;
  readonly newcomers?: SocketType;
}

/** Changes what an operation calls: is given each call, and how to make it. */
export type Change = (call: SystemCall, make: (call?: SystemCall) => Conversation<unknown>) => Conversation<unknown>;

/** Thrown by a change: the operation is left here, with this outcome. */
export class Leave extends Error {
  readonly outcome: unknown;
  constructor(outcome: unknown) {
    super('left');
    this.outcome = outcome;
  }
}

/** The change to the production code, for a mutant. */
export interface Changes {
  readonly offer?: (offered: Offered, connection: number) => Change;
  readonly request?: () => Change;
  /** A holder that accepts another newcomer while an offer is out. */
  readonly twoOffers?: boolean;
  /** A release while an offer is out unlinks as any other. */
  readonly unlinkWhenAbandoned?: boolean;
}

/**
 * A call that is no system call of the protocol: what the harness does, or what it says of itself.
 */
export function* call(name: string, ...args: readonly unknown[]): Conversation<unknown> {
  return yield { name, args } as unknown as SystemCall;
}

function mark(standing: ProcessState['standing']): Conversation<unknown> {
  return call('mark', standing);
}

/** Runs an operation with some of its calls changed. */
export function* changed<Outcome>(operation: Conversation<Outcome>, change: Change): Conversation<Outcome> {
  function* make(made: SystemCall): Conversation<unknown> {
    return yield made;
  }
  let step = operation.next();
  while (!step.done) {
    const pending = step.value;
    try {
      step = operation.next(yield* change(pending, (other = pending) => make(other)));
    } catch (error) {
      if (error instanceof Leave) return error.outcome as Outcome;
      throw error;
    }
  }
  return step.value;
}

/**
 * A process that has the claim: serves handovers, or releases, until it has it no more, as
 * server/hold.ts and handover/handoverService.ts do.
 */
export function* holding(offered: Offered, changes: Changes): Conversation<unknown> {
  for (let served = 0; served < 2; served++) {
    const connection = yield* call('accept', offered.handoverFd);
    if (connection === 'release') return yield* releasing(offered);
    if (!(yield* hear(connection as number, 1000))) {
      yield* call('close', connection);
      continue;
    }
    const outcome = yield* offering(connection as number, offered, changes);
    if (outcome === 'handed-over') return yield* mark('done');
    if (outcome === 'abandoned') return yield* mark('done');
  }
  return yield* releasing(offered);
}

function* offering(connection: number, offered: Offered, changes: Changes, nested = false): Conversation<unknown> {
  const change = changes.offer?.(offered, connection);
  const mutated = change ? changed(offer(connection, offered, 5000), change) : offer(connection, offered, 5000);
  let beside_ = changes.twoOffers === true && !nested;
  return yield* changed(mutated, function* (pending, make) {
    if (pending.name === 'accepting') yield* mark('handing');
    if (pending.name !== 'poll') return yield* make();
    if (beside_) {
      beside_ = false;
      const second = (yield* call('accept', offered.handoverFd)) as number | 'release';
      if (typeof second === 'number' && (yield* hear(second, 1000))) yield* offering(second, offered, changes, true);
    }
    const ready = yield* call('poll', pending.args[0], pending.args[1], 'abandonable');
    if (ready === 'ECANCELED') yield* abandoning(offered, changes);
    return ready;
  });
}

/**
 * `Hold.release` while an offer is out: everything is closed, and nothing unlinked. The
 * connection is closed last, by `offer`.
 */
function* abandoning(offered: Offered, changes: Changes): Conversation<void> {
  if (changes.unlinkWhenAbandoned) yield* removeSocketFile(place, offered);
  yield* mark('leaving');
  yield* call('close', offered.listenFd);
  yield* call('close', offered.lockFd);
  yield* call('close', offered.handoverFd);
}

function* releasing(offered: Offered): Conversation<unknown> {
  yield* mark('leaving');
  const file = yield* call('fstatat', AT_FDCWD, handover.path);
  if (typeof file === 'object') yield* removeSocketFile(handover, { identity: file as { dev: bigint; ino: bigint } });
  yield* call('close', offered.handoverFd);
  yield* release(place, { lockFd: offered.lockFd!, listenFd: offered.listenFd, identity: offered.identity });
  return yield* mark('done');
}

/**
 * A process that asks for the claim, and holds it then, as server/acquireHold.ts and
 * server/takeover.ts do.
 */
export function* asking(changes: Changes, triesMax: number, type?: SocketType): Conversation<unknown> {
  const asked = { ...terms, type };
  for (let tries = 0; tries < triesMax; tries++) {
    const claim = yield* acquire(place, asked);
    if (!isRefusal(claim)) {
      const socket = yield* bindUnderLock(handover, terms);
      if (isRefusal(socket)) {
        yield* release(place, claim);
        break;
      }
      yield* call('accepting', 'start', claim.listenFd);
      yield* mark('holding');
      return yield* holding({ ...claim, handoverFd: socket.listenFd }, changes);
    }
    const requested = askHolder(target, asked, 1000);
    const offered = yield* changes.request ? changed(requested, changes.request()) : requested;
    if (typeof offered === 'object' && !isRefusal(offered)) {
      const given = (yield* call('trueType', offered.listenFd)) as SocketType;
      if (given !== (type ?? socketTypeDefault)) return yield* mark('misled');
      yield* mark('holding');
      return yield* holding(offered, changes);
    }
  }
  return yield* mark('done');
}

/** The first holder's beginning, which is not explored. */
export function* beginning(type?: SocketType): Conversation<Offered> {
  const claim = yield* acquire(place, { ...terms, type });
  if (isRefusal(claim)) throw new Error('the first start is refused');
  const socket = yield* bindUnderLock(handover, terms);
  if (isRefusal(socket)) throw new Error('the handover socket is refused');
  yield* call('accepting', 'start', claim.listenFd);
  yield* mark('holding');
  return { ...claim, handoverFd: socket.listenFd };
}
