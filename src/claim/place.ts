import { abstractBytesMax, fits, longNameBytesMax, pathBytesMax, type AbstractName, type Pathname } from '../address/address.js';
import { abstractHandover, guardedNames, namesOf } from '../address/names.js';
import type { SocketType } from '../address/socketType.js';
import { AT_FDCWD, failed, sys, type Errno, type Operation } from '../kernel/kernel.js';
import { isRefusal, refuse, type Refusal } from './refusal.js';

/** The place of an address: resolved once for each attempt, and passed on from there. */
export type Target =
  | { readonly place: Place }
  /** Each type of socket has abstract names of its own. */
  | { readonly abstract: string; readonly type?: SocketType | undefined };

/**
 * A pinned directory. Its descriptor means this very directory, even if that is renamed or
 * replaced.
 */
export interface Directory {
  /** Open for its names alone (O_PATH). */
  readonly fd: number;
  /** Its real path when it was opened: for bind(2), for messages, and for events. */
  readonly path: string;
  /**
   * The prefix of a name in calls that take no descriptor: `/proc/self/fd/3`, or the path if there
   * is no /proc.
   */
  readonly through: string;
}

/** A name in a pinned directory. */
export interface Named {
  readonly directory: Directory;
  readonly name: string;
}

/**
 * A resolved pathname: the pinned directory, and all names in it. One address has one place,
 * however it was spelled.
 */
export interface Place extends Named {
  /** The socket file, for bind(2) and for messages. */
  readonly path: string;
  readonly aside: Named;
  readonly asidePath: string;
  readonly lock: Named;
  readonly lockPath: string;
  /**
   * Whether the path is too long for sun_path, and is bound through the descriptor of its
   * directory.
   */
  readonly long: boolean;
  /**
   * The socket on which a holder serves handovers, under the same lock. Undefined: its name is too
   * long.
   */
  readonly handover?: Place | undefined;
}

/** Paths in no pinned directory: a client does not need one. */
const anywhere: Directory = { fd: AT_FDCWD, path: '', through: '' };

export function unpinned(path: string): Named {
  return { directory: anywhere, name: path };
}

/**
 * The steps "pin" and "names": opens the directory of an address, and refuses names that cannot be
 * bound or locked, before anything is created. With `handover`, the address has to serve handovers
 * too.
 *
 * `/var/run/x` and `/run/x` are one address. The last component is not resolved: a symlink there is
 * not a socket.
 */
export function* resolve(address: Pathname | AbstractName, handover = false): Operation<Target | Refusal> {
  if (address.kind === 'abstract') return resolveAbstract(address, handover);
  const socket = yield* pin(address.path);
  if (isRefusal(socket)) return socket;
  const lock = address.lockPath === undefined ? undefined : yield* pinLock(address.lockPath, socket.directory);
  const place = isRefusal(lock) ? lock : placeIn(socket, lock);
  const refused = isRefusal(place) ? place : yield* check(place, handover, lock !== undefined);
  if (refused === undefined) return { place: place as Place };
  yield* sys.close(socket.directory.fd);
  if (lock !== undefined && !isRefusal(lock) && lock.directory !== socket.directory) yield* sys.close(lock.directory.fd);
  return refused;
}

function resolveAbstract({ name, type }: AbstractName, handover: boolean): Target | Refusal {
  const handoverName = abstractHandover(name, type);
  const tooLong = handover && !fits(handoverName, abstractBytesMax);
  return tooLong ? refuse('too-long', 'ENAMETOOLONG', 'bind', `@${handoverName}`) : { abstract: name, type };
}

/**
 * Returns the place of a name in a pinned directory. `lock` is a lock file of the caller's choice.
 */
export function placeIn({ directory, name }: Named, lock?: Named): Place | Refusal {
  const names = namesOf(name);
  const lockFile = lock ?? { directory, name: names.lock };
  const place = spell(directory, names.socket, names.aside, lockFile);
  if (isRefusal(place)) return place;
  const handover = spell(directory, names.handover, names.handoverAside, lockFile);
  return isRefusal(handover) ? place : { ...place, handover };
}

function spell(directory: Directory, name: string, asideName: string, lock: Named): Place | Refusal {
  const path = pathOf({ directory, name });
  const long = !fits(path, pathBytesMax);
  if (long && !fits(name, longNameBytesMax)) return refuse('too-long', 'ENAMETOOLONG', 'bind', path);
  const aside = { directory, name: asideName };
  return { directory, name, path, aside, asidePath: pathOf(aside), lock, lockPath: pathOf(lock), long };
}

/** Refuses a lock file at one of the names next to the address, where it would block the socket. */
function checkLock({ directory, name, lockPath }: Place): Refusal | undefined {
  const ours = guardedNames(namesOf(name)).map((each) => pathOf({ directory, name: each }));
  return ours.includes(lockPath) ? refuse('lock-is-address', 'EINVAL', 'open', lockPath) : undefined;
}

/** Refuses names that can never work, and a file where the handover socket must be. */
function* check(place: Place, handover: boolean, lockChosen: boolean): Operation<Refusal | undefined> {
  const refused = (lockChosen ? checkLock(place) : undefined) ?? checkLength(place, handover);
  return refused ?? (handover ? yield* checkHandover(place) : undefined);
}

function checkLength(place: Place, handover: boolean): Refusal | undefined {
  // A long path needs the spelling through /proc, which is known by now.
  const longest = handover && place.handover !== undefined ? place.handover : place;
  if (longest.long && place.directory.through === place.directory.path)
    return refuse('no-proc', 'ENAMETOOLONG', 'bind', longest.path);
  if (handover && place.handover === undefined) return refuse('too-long', 'ENAMETOOLONG', 'bind', handoverPath(place));
  return undefined;
}

function handoverPath({ directory, name }: Place): string {
  return pathOf({ directory, name: namesOf(name).handover });
}

/**
 * Refuses a file that is where the handover socket must be. It is better found before the claim
 * than halfway.
 */
function* checkHandover({ handover }: Place): Operation<Refusal | undefined> {
  if (handover === undefined) return undefined;
  const there = yield* sys.fstatat(handover.directory.fd, handover.name);
  if (failed(there) || there.type === 'socket') return undefined;
  return refuse('not-a-socket', 'ENOTSOCK', 'bind', handover.path);
}

function* pin(path: string): Operation<Named | Refusal> {
  const slash = path.lastIndexOf('/');
  const directory = yield* pinDirectory(slash < 0 ? '.' : path.slice(0, slash + 1));
  return isRefusal(directory) ? directory : { directory, name: path.slice(slash + 1) };
}

/**
 * Opens a directory. Its real path is the kernel's name for the descriptor, so that both mean one
 * directory.
 */
export function* pinDirectory(given: string): Operation<Directory | Refusal> {
  const fd = yield* sys.openat(AT_FDCWD, given, 'O_PATH|O_DIRECTORY|O_CLOEXEC', 0);
  if (failed(fd)) return refuseDirectory(given, fd);
  const through = `/proc/self/fd/${fd}`;
  const link = yield* sys.readlink(through);
  if (!failed(link) && link.path.endsWith(' (deleted)') && (yield* isRemoved(fd))) {
    yield* sys.close(fd);
    return refuseDirectory(link.path, 'ENOENT');
  }
  // Without a leading `/`, it lies outside the root directory of this process (proc(5)).
  if (!failed(link) && link.path.startsWith('/')) return { fd, path: link.path, through };
  const real = yield* sys.realpath(given);
  if (!failed(real)) return { fd, path: real.path, through: failed(link) ? real.path : through };
  yield* sys.close(fd);
  return refuseDirectory(given, real);
}

/** A process may still be in a directory that was removed, but no file can be created there. */
function* isRemoved(fd: number): Operation<boolean> {
  const status = yield* sys.fstat(fd);
  return !failed(status) && status.nlink === 0;
}

function refuseDirectory(given: string, errno: Errno): Refusal {
  return refuse(errno === 'ENOENT' || errno === 'ENOTDIR' ? 'no-directory' : 'system', errno, 'realpath', given);
}

/** A lock file in the directory of the socket needs no second descriptor. */
function* pinLock(path: string, socket: Directory): Operation<Named | Refusal> {
  const lock = yield* pin(path);
  if (isRefusal(lock) || lock.directory.path !== socket.path || !(yield* isSame(lock.directory.fd, socket.fd))) return lock;
  yield* sys.close(lock.directory.fd);
  return { directory: socket, name: lock.name };
}

function* isSame(one: number, other: number): Operation<boolean> {
  const [first, second] = [yield* sys.fstat(one), yield* sys.fstat(other)];
  return !failed(first) && !failed(second) && first.dev === second.dev && first.ino === second.ino;
}

/**
 * Whether the path still leads to the directory. If not, bind(2) would create a file in another
 * one. A path that this user may not follow is not known to lead elsewhere: nothing can be bound
 * by it.
 */
export function* isInPlace({ fd, path }: Directory): Operation<boolean> {
  const [pinned, named] = [yield* sys.fstat(fd), yield* sys.fstatat(AT_FDCWD, path)];
  if (named === 'EACCES') return true;
  return !failed(pinned) && !failed(named) && pinned.dev === named.dev && pinned.ino === named.ino;
}

/** Closes the descriptors that `resolve` opened. */
export function* close(target: Target): Operation<void> {
  if ('abstract' in target) return;
  for (const { fd } of directoriesOf(target.place)) yield* sys.close(fd);
}

/** One directory, or two if the lock file is elsewhere. */
export function directoriesOf({ directory, lock }: Place): readonly Directory[] {
  return lock.directory === directory ? [directory] : [directory, lock.directory];
}

export function pathOf({ directory: { path }, name }: Named): string {
  return path === '' || path.endsWith('/') ? path + name : `${path}/${name}`;
}

/** Returns the spelling of a name for a call that takes no descriptor of a directory. */
export function throughOf({ directory: { through }, name }: Named): string {
  return through === '' || through.endsWith('/') ? through + name : `${through}/${name}`;
}
