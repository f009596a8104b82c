import type { AbstractName, Pathname } from '../address/address.js';
import type { SocketType } from '../address/socketType.js';
import { close, pathOf, resolve, type Named, type Place } from '../claim/place.js';
import { probe, type Liveness } from '../claim/probe.js';
import { isRecord, recordBytesMax } from '../claim/record.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { beginAtCaller } from '../errors/caller.js';
import { explain } from '../errors/explain.js';
import { findLocker } from '../holder/find.js';
import { holderOfRecord, isForeign, type Holder } from '../holder/holder.js';
import { failed, run, sys, type FileStatus, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { isServing, type UnixSocket } from '../kernel/sockets.js';
import { readAddress } from '../request/readAddress.js';
import { badOption, explainMistakes } from '../request/mistake.js';
import { requireNoCallback, requireOptions, requireKnown } from '../request/requireOptions.js';
import { readSocketType } from '../request/readSocketType.js';
import { Snapshot } from './snapshot.js';

/**
 * The state of an address.
 *
 * - `free`: nothing is there, and no process holds the lock.
 * - `listening`: a holder listens there.
 * - `starting`: a process holds the lock but does not listen: it is starting or stopping.
 * - `stale`: a dead process has left its socket file; the next start replaces it.
 * - `stray`: a live socket, whose process does not hold the lock.
 * - `blocked`: another file is there, or the lock file is unusable; a start fails.
 */
export type AddressState = 'free' | 'listening' | 'starting' | 'stale' | 'stray' | 'blocked';

/** The result of `inspect`. */
export interface Inspection {
  /** The absolute path, or `@` and the abstract name. */
  readonly address: string;
  readonly state: AddressState;
  /**
   * Why the address is `blocked`, or a further fact. `displaced`: the address seems to be
   * `starting`, because its socket file was removed. `shared-directory`: other users may replace
   * the socket.
   */
  readonly reason?:
    | 'not-a-socket'
    | 'lock-not-a-file'
    | 'lock-foreign-content'
    | 'denied'
    | 'displaced'
    | 'shared-directory'
    | undefined;
  /**
   * The process that holds the address, if it is known. The text comes from the lock file or /proc:
   * do not trust it.
   */
  readonly holder?: Holder | undefined;
  /**
   * The children of the holder that have the socket open, too: the instances of `reuseaddr run`.
   * Linux only, as far as this user may see.
   */
  readonly instances?: readonly number[] | undefined;
  /** Permission bits of the socket file. */
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Inode of the socket file. */
  readonly inode?: bigint | undefined;
  readonly lockPath?: string | undefined;
  /**
   * The type of the socket that is bound there. Linux only, like the two below.
   */
  readonly type?: UnixSocket['type'] | undefined;
  /**
   * How many connections wait to be accepted, and how many may wait. A full backlog refuses more
   * (EAGAIN).
   */
  readonly waiting?: number | undefined;
  readonly backlog?: number | undefined;
}

/** The options of `inspect`. */
export interface InspectOptions {
  /** The lock file. Default: `<path>.lock`. */
  readonly lockPath?: string | undefined;
  /**
   * The type of the socket, for an abstract name: each type has names of its own. Default: a type
   * for which the name is in use.
   */
  readonly type?: SocketType | undefined;
}

/**
 * Looks at an address and disturbs no process: takes no lock, makes no connection that a server
 * would see, and changes nothing. The answer may be out of date when it arrives: never decide by it
 * whether to remove a file.
 *
 * Only Linux tells which process has a lock. On other systems the holder's record tells `listening`
 * from `stray`, and `starting` from `stale`.
 *
 * @example
 * ```js
 * import { claim, inspect } from 'reuseaddr';
 *
 * await claim('/run/app.sock');
 * const { state, holder } = await inspect('/run/app.sock');
 * console.log(state, holder?.pid === process.pid); // → listening true
 * ```
 *
 * @param address a pathname, or an abstract name such as `@app` (Linux)
 * @throws {SocketAddressError} the address is bad, or its directory cannot be looked at
 */
export async function inspect(address: string, options: InspectOptions = {}): Promise<Inspection> {
  try {
    return inspectNow(address, options, arguments[2]);
  } catch (error) {
    throw beginAtCaller(error, inspect);
  }
}

function inspectNow(text: string, options: InspectOptions, callback: unknown): Inspection {
  const address = explainMistakes(text, 'inspect', () => {
    requireNoCallback(callback);
    requireOptions(options);
    requireKnown(options, ['lockPath', 'type']);
    const read = readAddress(text, options.lockPath);
    if (options.type === undefined) return read;
    if (read.kind === 'pathname') throw badOption('type', 'is for abstract names: a path is one address for all types');
    return { ...read, type: readSocketType(options) };
  });
  if (address.kind === 'abstract') return inspectAbstract(address, new Snapshot());
  const found = run(kernel, inspectPathname(address));
  if (isRefusal(found)) throw explain(text, found, undefined, 'inspect');
  return found;
}

function* inspectPathname(address: Pathname): Operation<Inspection | Refusal> {
  const target = yield* resolve(address);
  if (isRefusal(target) || 'abstract' in target) return target as Refusal;
  const found = yield* inspectPlace(target.place, new Snapshot());
  yield* close(target);
  return found;
}

/** Leaves out the fields that are undefined. */
function defined(inspection: Inspection): Inspection {
  return Object.fromEntries(Object.entries(inspection).filter(([, value]) => value !== undefined)) as unknown as Inspection;
}

function inspectAbstract({ name, type }: AbstractName, snapshot: Snapshot): Inspection {
  const sockets = socketsNamed(name, snapshot).filter((socket) => type === undefined || socket.type === type);
  const socket = sockets.find(isServing) ?? sockets[0];
  return socket === undefined ? { address: `@${name}`, state: 'free' } : describeAbstract(`@${name}`, socket, snapshot);
}

/** Returns the sockets of an abstract name, at most one of each type. */
export function socketsNamed(name: string, { sockets }: Snapshot): readonly UnixSocket[] {
  // The table in /proc shows a NUL inside an abstract name as `@`.
  const spellings: readonly (string | undefined)[] = [`@${name}`, `@${name.replaceAll('\0', '@')}`];
  return sockets.filter((socket) => spellings.includes(socket.name));
}

/** Describes the socket of an abstract name. A probe finds the names of one type alone. */
export function describeAbstract(address: string, socket: UnixSocket, snapshot: Snapshot): Inspection {
  const state = isServing(socket) ? 'listening' : 'starting';
  const holder = snapshot.holderOf(socket);
  return defined({ address, state, holder, ...snapshot.instancesOf(holder, socket), ...told(socket) });
}

/** Inspects a place, with one look at each thing. */
export function* inspectPlace(place: Place, snapshot: Snapshot): Operation<Inspection> {
  const socket = yield* sys.fstatat(place.directory.fd, place.name);
  const lock = yield* look(place.lock, snapshot);
  const base = { address: place.path, lockPath: place.lockPath };
  const shared = snapshot.isShared(place.directory.path) ? 'shared-directory' : undefined;
  if (failed(socket) && socket !== 'ENOENT') return { ...base, state: 'blocked', reason: 'denied' };
  if (lock.unusable !== undefined) return { ...base, ...fields(socket), state: 'blocked', reason: lock.unusable };
  if (failed(socket)) {
    const displaced =
      lock.held && snapshot.isServed(place.path) && (yield* sys.fstatat(place.directory.fd, place.name)) === 'ENOENT';
    return defined({
      ...base,
      state: lock.held ? 'starting' : 'free',
      holder: lock.holder,
      reason: displaced ? 'displaced' : shared,
    });
  }
  const found = { ...base, ...fields(socket) };
  if (socket.type !== 'socket') return { ...found, state: 'blocked', reason: 'not-a-socket' };

  const liveness = yield* probe(place);
  const bound = snapshot.boundTo(place.path, socket);
  const state = judge(liveness, lock.held, bound);
  const reason = state === 'blocked' ? 'denied' : shared;
  const holder = holderOf(state, lock.holder, bound, snapshot);
  return defined({ ...found, state, holder, ...snapshot.instancesOf(holder, bound), reason, ...told(bound) });
}

function judge(liveness: Liveness, held: boolean, bound: UnixSocket | undefined): AddressState {
  // Bound, but listen(2) is still to come.
  const waitsForListen = bound !== undefined && !isServing(bound);
  if (liveness === 'live') return held ? (waitsForListen ? 'starting' : 'listening') : 'stray';
  if (liveness === 'dead') return held ? 'starting' : 'stale';
  if (liveness === 'gone') return held ? 'starting' : 'free';
  // EACCES: this user may not connect. The lock tells whether a process is there.
  return held ? 'listening' : 'blocked';
}

/**
 * Finds the holder: the lock file names the process with the lock, and the kernel the one with the
 * socket.
 */
function holderOf(
  state: AddressState,
  recorded: Holder | undefined,
  bound: UnixSocket | undefined,
  snapshot: Snapshot,
): Holder | undefined {
  if (state === 'stale' || state === 'free') return undefined;
  if (state === 'starting') return recorded;
  const known = state === 'stray' ? undefined : recorded;
  return known ?? (bound === undefined ? undefined : snapshot.holderOf(bound));
}

/** Returns the fields that the kernel reports about a socket. */
export function told(bound: UnixSocket | undefined): Pick<Inspection, 'type' | 'waiting' | 'backlog'> {
  return { type: bound?.type, waiting: bound?.waiting, backlog: bound?.backlog };
}

interface LockLook {
  readonly held: boolean;
  readonly holder?: Holder | undefined;
  readonly unusable?: 'lock-not-a-file' | 'lock-foreign-content';
}

/** Looks at the lock file. If this user may not read it, its status has to suffice. */
function* look(lock: Named, snapshot: Snapshot): Operation<LockLook> {
  const status = yield* sys.fstatat(lock.directory.fd, lock.name);
  if (failed(status)) return { held: false };
  if (status.type !== 'file') return { held: false, unusable: 'lock-not-a-file' };
  const text = yield* readRecord(lock);
  if (text !== undefined && !isRecord(text)) return { held: false, unusable: 'lock-foreign-content' };
  const holder = holderOfRecord(text);
  const locked = snapshot.isLocked(status);
  // A lock that was taken in another PID namespace is invisible here. But a release would have
  // emptied the record.
  const held = locked === true || (holder !== undefined && (locked === undefined || isForeign(text ?? '')));
  return { held, holder: held ? (holder ?? findLocker(pathOf(lock))) : undefined };
}

function* readRecord({ directory, name }: Named): Operation<string | undefined> {
  const fd = yield* sys.openat(directory.fd, name, 'O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
  if (failed(fd)) return undefined;
  const content = yield* sys.pread(fd, recordBytesMax);
  yield* sys.close(fd);
  return failed(content) ? undefined : content.text;
}

export function fields(socket: FileStatus | string): Pick<Inspection, 'mode' | 'uid' | 'gid' | 'inode'> {
  if (typeof socket === 'string') return {};
  return { mode: socket.mode & 0o777, uid: socket.uid, gid: socket.gid, inode: socket.ino };
}
