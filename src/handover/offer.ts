import type { Identity } from '../claim/bindUnderLock.js';
import { failed, sys, talk, type Conversation } from '../kernel/kernel.js';
import { closeAll, format, receive, receiveNow } from './message.js';

/** A claim that can be handed over. An abstract name has no lock. */
export interface Offered {
  readonly lockFd?: number | undefined;
  readonly listenFd: number;
  readonly handoverFd: number;
  readonly identity: Identity;
}

/** The pause after a failed wait, in milliseconds. */
export const errorRestMs = 10;

/** The outcome of an offer. */
export type OfferOutcome =
  /** The newcomer has closed its share, and this process remains the holder. */
  | 'kept'
  /** This process has closed its share. */
  | 'handed-over'
  /**
   * This process gave its claim up meanwhile (`ECANCELED`), and has closed everything: to the
   * newcomer, as if it had died.
   */
  | 'abandoned';

/**
 * Whether a peer on the handover socket may have the claim, and asks for it.
 *
 * Nothing is read from another user, and nothing sent to it. Any number of these may run at a time:
 * a peer that only connects keeps no other from its request.
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
 * The holder's side of a handover, on the connection of a newcomer that has asked for it. At most
 * one runs at a time.
 *
 * Descriptors are shared open file descriptions: during the offer, both processes have the lock and
 * the listening socket, and it is one claim. The connection is closed at the end.
 */
export function* offer(connection: number, offered: Offered, timeoutMs: number): Conversation<OfferOutcome> {
  try {
    const outcome = yield* negotiate(connection, offered, timeoutMs);
    if (outcome === 'handed-over') yield* handOver(connection, offered);
    return outcome;
  } finally {
    yield* sys.close(connection);
  }
}

/**
 * Negotiates. An exception is rethrown once the newcomer has closed its share, or if that fails
 * too, once this process has closed its own.
 */
function* negotiate(connection: number, offered: Offered, timeoutMs: number): Conversation<OfferOutcome> {
  try {
    return yield* ask(connection, offered, timeoutMs);
  } catch (error) {
    try {
      yield* withdraw(connection);
    } catch {
      yield* handOver(connection, offered);
    }
    throw error;
  }
}

function* ask(connection: number, offered: Offered, timeoutMs: number): Conversation<OfferOutcome> {
  const { lockFd, listenFd, handoverFd, identity } = offered;
  const fds = lockFd === undefined ? [listenFd, handoverFd] : [listenFd, handoverFd, lockFd];
  const sent = yield* talk.sendmsg(connection, format({ kind: 'offer', ...identity }), fds);
  if (failed(sent)) return 'kept'; // It is gone already.

  const answer = yield* receive(connection, timeoutMs);
  if (answer === 'ECANCELED') return 'abandoned';
  if (answer === 'closed') return 'kept';
  // A newcomer has no reason to send any.
  if (typeof answer === 'object') yield* closeAll(answer.fds);
  const ready = typeof answer === 'object' && answer.message.kind === 'ready';
  // It may have died since it said so. A second read tells: EAGAIN means that its end is open, so
  // it lives.
  const after = ready ? yield* receiveNow(connection) : 'garbage';
  if (after === 'EAGAIN') return 'handed-over';
  if (after === 'closed') return 'kept';
  if (typeof after === 'object') yield* closeAll(after.fds);
  return yield* withdraw(connection);
}

/**
 * Gives up the share of this process. The newcomer is told last: from then on it may release, and
 * no other process may hold a share then.
 */
function* handOver(connection: number, { lockFd, listenFd, handoverFd }: Offered): Conversation<void> {
  try {
    yield* talk.accepting('stop', listenFd);
  } finally {
    yield* closeAll([listenFd, handoverFd, ...(lockFd === undefined ? [] : [lockFd])]);
  }
  yield* talk.sendmsg(connection, format({ kind: 'done' }), []);
}

/**
 * Takes an offer back.
 *
 * If the connection just closed, the newcomer would conclude that it is the holder. So it is told,
 * and closes the connection after it has closed its share. Until then this process cannot release,
 * or make another offer.
 */
function* withdraw(connection: number): Conversation<OfferOutcome> {
  yield* talk.sendmsg(connection, format({ kind: 'abort' }), []);
  for (;;) {
    const received = yield* receive(connection, Infinity);
    if (received === 'closed') return 'kept';
    if (received === 'ECANCELED') return 'abandoned';
    if (typeof received === 'object') yield* closeAll(received.fds);
    // There is no memory for a wait, for example. The newcomer still has its share.
    else if (received !== 'garbage') yield* sys.sleep(errorRestMs);
  }
}
