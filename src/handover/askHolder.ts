import { abstractHandover } from '../address/names.js';
import { socketTypeDefault } from '../address/socketType.js';
import { grant, identify, type Identity, type Terms } from '../claim/bindUnderLock.js';
import type { Place, Target } from '../claim/place.js';
import { throughSocketFile } from '../claim/probe.js';
import { isRefusal, refuse, type Refusal, type Unhanded } from '../claim/refusal.js';
import { failed, talk, sys, type Errno, type FileStatus, type Conversation } from '../kernel/kernel.js';
import { closeAll, format, receive } from './message.js';
import { errorRestMs, type Offered } from './offer.js';

/** Why a handover failed. No descriptor is left open. */
export type NotReceived = Unhanded | Errno;

/**
 * The newcomer's side of a handover: asks the holder for its claim, and starts to accept before the
 * holder stops.
 *
 * With the descriptors, this process shares the holder's claim. It owns the claim alone when the
 * holder says `done`, or is gone. Until then it must not release. If the holder takes the offer
 * back, this process closes everything, and the connection last: that tells the holder.
 */
export function* askHolder(target: Target, terms: Terms, timeoutMs: number): Conversation<Offered | NotReceived | Refusal> {
  const connection = yield* connectTo(target);
  if (typeof connection !== 'number') return connection;
  const outcome = yield* negotiate(connection, target, terms, timeoutMs);
  yield* sys.close(connection);
  return outcome;
}

function* connectTo(target: Target): Conversation<number | NotReceived> {
  const connection = yield* connectToHandover(target);
  switch (connection) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return 'unserved';
    case 'EAGAIN': // Many newcomers ask at once.
      return 'again';
    case 'EACCES':
    case 'EPERM':
      return 'denied';
    default:
      return connection;
  }
}

function* connectToHandover(target: Target): Conversation<number | Errno> {
  if ('abstract' in target) return yield* talk.connect(`\0${abstractHandover(target.abstract, target.type)}`);
  const { handover } = target.place;
  // If the name is too long for an address, no process serves handovers.
  return handover === undefined ? 'ENOENT' : yield* throughSocketFile(handover, (name) => talk.connect(name));
}

function* negotiate(
  connection: number,
  target: Target,
  terms: Terms,
  timeoutMs: number,
): Conversation<Offered | NotReceived | Refusal> {
  // In a directory that others may write to, any process may have bound that name. A stranger's
  // offer is not accepted.
  if (!(yield* isTrusted(connection, target))) return 'denied';
  // If it fails, the holder is gone, and the end comes next.
  yield* talk.sendmsg(connection, format({ kind: 'request' }), []);
  const received = yield* receive(connection, timeoutMs);
  if (received === 'closed') return 'again';
  if (received === 'ETIMEDOUT') return 'late';
  if (received === 'garbage') return 'bad-offer';
  if (typeof received !== 'object') return received;

  const { message, fds } = received;
  const offered = message.kind === 'offer' ? share(target, message, fds) : undefined;
  const refused = offered === undefined ? 'bad-offer' : yield* examine(offered, target, terms);
  if (offered !== undefined && refused === undefined) return yield* confirm(connection, offered);
  yield* closeAll(fds);
  return message.kind === 'abort' ? 'again' : (refused ?? 'bad-offer');
}

/**
 * Whether the holder is of the same user, or root. Root also trusts the owner of the lock file:
 * `lock` decided that this file may be used before it found the lock taken, see claim/lock.ts.
 */
function* isTrusted(connection: number, target: Target): Conversation<boolean> {
  const peer = yield* talk.peerCredentials(connection);
  if (failed(peer)) return false;
  const uid = yield* sys.geteuid();
  if (peer.uid === 0 || peer.uid === uid) return true;
  if (uid !== 0 || 'abstract' in target) return false;
  const lock = yield* sys.fstatat(target.place.lock.directory.fd, target.place.lock.name);
  return !failed(lock) && lock.uid === peer.uid;
}

/** Whether the offer is the claim, with the requested type, mode and owner. */
function* examine(offered: Offered, target: Target, terms: Terms): Conversation<Unhanded | Refusal | undefined> {
  const file = 'abstract' in target ? undefined : yield* sharedFile(offered, target.place);
  if ('place' in target && file === undefined) return 'bad-offer';
  const socket = yield* sys.socketType(offered.listenFd);
  if (failed(socket)) return 'bad-offer';
  if (socket.type !== (terms.type ?? socketTypeDefault)) return 'other-type';
  if ('abstract' in target || file === undefined) return undefined;
  const granted = yield* grant(target.place, terms, file);
  return granted === 'displaced' ? refuse('unstable', 'EADDRINUSE', 'open', target.place.path) : granted;
}

/** Names the descriptors, if their number is right. */
function share(target: Target, { dev, ino }: Identity, fds: readonly number[]): Offered | undefined {
  const [listenFd, handoverFd, lockFd] = fds;
  if (listenFd === undefined || handoverFd === undefined) return undefined;
  if ('abstract' in target !== (lockFd === undefined)) return undefined;
  return { listenFd, handoverFd, lockFd, identity: { dev, ino } };
}

/**
 * Returns the socket file, if this is the lock of the address, and these sockets are bound to its
 * files now.
 */
function* sharedFile(offered: Offered, place: Place): Conversation<FileStatus | undefined> {
  const { lockFd, listenFd, handoverFd, identity } = offered;
  // Succeeds only on the open file description that has the lock, and changes nothing there.
  if (lockFd === undefined || (yield* sys.flock(lockFd, 'LOCK_EX|LOCK_NB')) !== 0) return undefined;
  const lock = yield* sys.fstat(lockFd);
  const named = yield* sys.fstatat(place.lock.directory.fd, place.lock.name);
  if (failed(lock) || failed(named) || lock.dev !== named.dev || lock.ino !== named.ino) return undefined;
  const file = yield* identify(place, listenFd);
  if (file === 'displaced' || isRefusal(file) || file.dev !== identity.dev || file.ino !== identity.ino) return undefined;
  const handover = place.handover === undefined ? 'displaced' : yield* identify(place.handover, handoverFd);
  return handover === 'displaced' || isRefusal(handover) ? undefined : file;
}

/** Accepts first, and then says so: at every moment at least one of the two processes accepts. */
function* confirm(connection: number, offered: Offered): Conversation<Offered | NotReceived> {
  const accepting = yield* talk.accepting('start', offered.listenFd);
  if (failed(accepting)) {
    yield* closeShare(offered);
    return accepting;
  }
  // If this fails, the holder is gone, or has taken the offer back and gone: its last message tells
  // which.
  yield* talk.sendmsg(connection, format({ kind: 'ready' }), []);
  for (;;) {
    const received = yield* receive(connection, Infinity);
    if (received === 'closed') return offered;
    if (typeof received === 'object') {
      yield* closeAll(received.fds);
      if (received.message.kind === 'done') return offered;
      if (received.message.kind === 'abort') break;
    } else if (received !== 'garbage') {
      // There is no memory for a wait, for example. Only the holder's answer counts, so ask again.
      yield* sys.sleep(errorRestMs);
    }
  }
  yield* talk.accepting('stop', offered.listenFd);
  yield* closeShare(offered);
  return 'again';
}

function* closeShare({ listenFd, handoverFd, lockFd }: Offered): Conversation<void> {
  yield* sys.close(listenFd);
  yield* sys.close(handoverFd);
  if (lockFd !== undefined) yield* sys.close(lockFd);
}
