import type { Identity } from '../claim/bind.js';
import { failed, sys, talk, type Conversation } from '../kernel/kernel.js';
import { closeAll, format, receive, receiveNow } from './message.js';

/** A claim that can be handed over. An abstract name has no lock. */
export interface Offered {
  readonly lockFd?: number | undefined;
  readonly listenFd: number;
  readonly handoverFd: number;
  readonly identity: Identity;
}

/** How long we rest before we wait again, where waiting has failed. */
export const errorRestMs = 10;

/** How an offer ended. */
export type OfferOutcome =
  /** The newcomer has closed its share, and we go on. */
  | 'kept'
  /** We have closed ours. */
  | 'handed-over'
  /** We gave our claim up in the middle of it (`ECANCELED`), and have closed everything: to the newcomer, as if we had died. */
  | 'abandoned';

/**
 * Whether somebody who has connected to the hand-over socket may have the claim, and asks for it. Nothing is read from another
 * user, and nothing sent. Any number of these may go on at a time: somebody who only connects keeps nobody else from it.
 */
export function* hear(connection: number, timeoutMs: number): Conversation<boolean> {
  const peer = yield* talk.peerCredentials(connection);
  if (failed(peer) || (peer.uid !== 0 && peer.uid !== (yield* sys.geteuid()))) return false;
  const received = yield* receive(connection, timeoutMs);
  if (typeof received !== 'object') return false;
  yield* closeAll(received.fds);
  return received.message.kind === 'request' && received.fds.length === 0;
}

/**
 * The holder's side of a hand-over, on the connection of a newcomer that has asked for it. Never more than one at a time.
 *
 * Descriptors are shared open file descriptions: while the offer is out, both have the lock and the listening socket, and it is
 * one claim.
 *
 * The connection is closed at the end.
 */
export function* offer(connection: number, offered: Offered, timeoutMs: number): Conversation<OfferOutcome> {
  try {
    const outcome = yield* negotiate(connection, offered, timeoutMs);
    if (outcome === 'handed-over') yield* leave(connection, offered);
    return outcome;
  } finally {
    yield* sys.close(connection);
  }
}

/** An exception in the middle of it is thrown on when the newcomer has closed its share, or, where that fails too, we have closed ours. */
function* negotiate(connection: number, offered: Offered, timeoutMs: number): Conversation<OfferOutcome> {
  try {
    return yield* ask(connection, offered, timeoutMs);
  } catch (error) {
    try {
      yield* withdraw(connection);
    } catch {
      yield* leave(connection, offered);
    }
    throw error;
  }
}

function* ask(connection: number, offered: Offered, timeoutMs: number): Conversation<OfferOutcome> {
  const { lockFd, listenFd, handoverFd, identity } = offered;
  const fds = lockFd === undefined ? [listenFd, handoverFd] : [listenFd, handoverFd, lockFd];
  const sent = yield* talk.sendmsg(connection, format({ kind: 'offer', ...identity }), fds);
  if (failed(sent)) return 'kept'; // It has gone already.

  const answer = yield* receive(connection, timeoutMs);
  if (answer === 'ECANCELED') return 'abandoned';
  if (answer === 'closed') return 'kept';
  if (typeof answer === 'object') yield* closeAll(answer.fds); // Nobody has to send us any.
  const ready = typeof answer === 'object' && answer.message.kind === 'ready';
  // It may have died since it said so. We look again after reading: EAGAIN means that its end is open, so it lives.
  const after = ready ? yield* receiveNow(connection) : 'garbage';
  if (after === 'EAGAIN') return 'handed-over';
  if (after === 'closed') return 'kept';
  if (typeof after === 'object') yield* closeAll(after.fds);
  return yield* withdraw(connection);
}

/** Gives up our share. The newcomer is told last: from then on it may release, and nobody else may hold a share then. */
function* leave(connection: number, { lockFd, listenFd, handoverFd }: Offered): Conversation<void> {
  try {
    yield* talk.accepting('stop', listenFd);
  } finally {
    yield* closeAll([listenFd, handoverFd, ...(lockFd === undefined ? [] : [lockFd])]);
  }
  yield* talk.sendmsg(connection, format({ kind: 'done' }), []);
}

/**
 * Takes an offer back. Closing the connection alone would say "I am gone, you are the holder". So the newcomer is told, and we wait
 * until it has closed the connection, which it does after it has closed its share. Until then we can make no other offer, and
 * can't release.
 */
function* withdraw(connection: number): Conversation<OfferOutcome> {
  yield* talk.sendmsg(connection, format({ kind: 'abort' }), []);
  for (;;) {
    const received = yield* receive(connection, Infinity);
    if (received === 'closed') return 'kept';
    if (received === 'ECANCELED') return 'abandoned';
    if (typeof received === 'object') yield* closeAll(received.fds);
    else if (received !== 'garbage') yield* sys.sleep(errorRestMs); // No memory for a wait, say. Its share is out all the same.
  }
}
