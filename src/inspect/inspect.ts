import { locate, type Place } from '../claim/locate.js';
import { probe, type Liveness } from '../claim/probe.js';
import { isRecord, recordBytesMax } from '../claim/record.js';
import { isRefusal } from '../claim/refusal.js';
import { explain } from '../errors/explain.js';
import { findListener, listeningInode } from '../holder/find.js';
import { holderOfRecord, isForeign, type Holder } from '../holder/holder.js';
import { failed, run, sys, type FileStatus, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { readAddress } from '../request/address.js';
import { isLocked } from './locks.js';

/**
 * What an address is doing.
 *
 * - `free`: nothing is there; a start will succeed.
 * - `listening`: a holder listens there.
 * - `starting`: somebody has the lock, and nothing listens: a holder that is starting or stopping.
 * - `stale`: a socket file that no process is bound to; the next start removes it.
 * - `stray`: a live socket of a program that does not take the lock.
 * - `blocked`: something else is there, or the lock file can't be used; a start will fail.
 */
export type AddressState = 'free' | 'listening' | 'starting' | 'stale' | 'stray' | 'blocked';

/** What `inspect` found. */
export interface Inspection {
  /** The absolute path, or `@` and the abstract name. */
  readonly address: string;
  readonly state: AddressState;
  /** Why it is `blocked`, or a warning: others may write to the directory and so replace the socket (`shared-directory`). */
  readonly reason?: 'not-a-socket' | 'lock-not-a-file' | 'lock-foreign-content' | 'denied' | 'shared-directory' | undefined;
  /** Who has it, as far as it is known. From the lock file or /proc; its text is not to be trusted. */
  readonly holder?: Holder | undefined;
  /** Permission bits of the socket file. */
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Inode of the socket file. */
  readonly inode?: bigint | undefined;
  readonly lockPath?: string | undefined;
}

/**
 * Looks at an address and disturbs nobody: it takes no lock, makes no connection that a server would see, and changes nothing.
 * What it says may be out of date by the time that it is read: never decide by it whether to remove a file.
 *
 * On other systems than Linux the kernel does not tell who has a lock: `listening` and `stray`, `starting` and `stale` are then
 * told apart by the holder's record.
 *
 * @param address a pathname, or an abstract name such as `@app` (Linux)
 * @throws {SocketAddressError} the address is bad, or its directory can't be looked at
 */
export function inspect(address: string, options: { readonly lockPath?: string | undefined } = {}): Promise<Inspection> {
  return Promise.resolve().then(() => inspectNow(address, options.lockPath));
}

function inspectNow(text: string, lockPath: string | undefined): Inspection {
  const address = readAddress(text, lockPath);
  if (address.kind === 'abstract') return inspectAbstract(address.name);
  if (address.kind === 'pipe') return { address: text, state: 'free' };
  const place = run(kernel, locate(address, process.platform));
  if (isRefusal(place)) throw explain(text, place);
  return defined(run(kernel, inspectPlace(place)));
}

/** Without the fields of which nothing is known. */
function defined(inspection: Inspection): Inspection {
  return Object.fromEntries(Object.entries(inspection).filter(([, value]) => value !== undefined)) as unknown as Inspection;
}

function inspectAbstract(name: string): Inspection {
  // Not by the probe: abstract names of stream and of datagram sockets are apart, so it would find nobody.
  if (listeningInode(`@${name}`) === undefined) return { address: `@${name}`, state: 'free' };
  return defined({ address: `@${name}`, state: 'listening', holder: findListener(`@${name}`) });
}

/** What there is to see at a place, one look at each thing. */
export function* inspectPlace(place: Place): Operation<Inspection> {
  const socket = yield* sys.lstat(place.path);
  const lock = yield* look(place.lockPath);
  const base = { address: place.path, lockPath: place.lockPath };
  if (failed(socket) && socket !== 'ENOENT') return { ...base, state: 'blocked', reason: 'denied' };
  if (lock.unusable !== undefined) return { ...base, ...fields(socket), state: 'blocked', reason: lock.unusable };
  if (failed(socket)) {
    return { ...base, state: lock.held ? 'starting' : 'free', holder: lock.held ? lock.holder : undefined };
  }
  const found = { ...base, ...fields(socket) };
  if (socket.type !== 'socket') return { ...found, state: 'blocked', reason: 'not-a-socket' };

  const liveness = yield* probe(place.path);
  const state = judge(liveness, lock.held);
  const holder = state === 'stale' || state === 'free' ? undefined : state === 'stray' ? findListener(place.path) : lock.holder;
  const reason = state === 'blocked' ? 'denied' : (yield* isShared(place)) ? 'shared-directory' : undefined;
  return { ...found, state, holder: holder ?? (state === 'listening' ? findListener(place.path) : undefined), reason };
}

function judge(liveness: Liveness, held: boolean): AddressState {
  if (liveness === 'live') return held ? 'listening' : 'stray';
  if (liveness === 'dead') return held ? 'starting' : 'stale';
  if (liveness === 'gone') return held ? 'starting' : 'free';
  return held ? 'listening' : 'blocked'; // EACCES: this user may not connect. The lock says that somebody is there.
}

interface LockLook {
  readonly held: boolean;
  readonly holder?: Holder | undefined;
  readonly unusable?: 'lock-not-a-file' | 'lock-foreign-content';
}

/** Looks at the lock file. One that may not be read is only looked at from outside. */
function* look(lockPath: string): Operation<LockLook> {
  const status = yield* sys.lstat(lockPath);
  if (failed(status)) return { held: false };
  if (status.type !== 'file') return { held: false, unusable: 'lock-not-a-file' };
  const text = yield* readRecord(lockPath);
  if (text !== undefined && !isRecord(text)) return { held: false, unusable: 'lock-foreign-content' };
  const holder = holderOfRecord(text);
  const locked = isLocked(status);
  // A record that somebody wrote in another PID namespace: its lock is not shown to us, but a release would have emptied it.
  const held = locked === true || (holder !== undefined && (locked === undefined || isForeign(text ?? '')));
  return { held, holder: held ? holder : undefined };
}

function* readRecord(lockPath: string): Operation<string | undefined> {
  const fd = yield* sys.open(lockPath, 'O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
  if (failed(fd)) return undefined;
  const content = yield* sys.pread(fd, recordBytesMax);
  yield* sys.close(fd);
  return failed(content) ? undefined : content.text;
}

/** Others may replace the socket where they may write to the directory, unless it is sticky (and then only what is theirs). */
function* isShared(place: Place): Operation<boolean> {
  const directory = yield* sys.lstat(place.directory);
  return !failed(directory) && (directory.mode & 0o022) !== 0 && (directory.mode & 0o1000) === 0;
}

function fields(socket: FileStatus | string): Pick<Inspection, 'mode' | 'uid' | 'gid' | 'inode'> {
  if (typeof socket === 'string') return {};
  return { mode: socket.mode & 0o777, uid: socket.uid, gid: socket.gid, inode: socket.ino };
}
