import { failed, sys, type Errno, type FileStatus, type Operation } from '../kernel/kernel.js';
import { writeRecord } from './acquire.js';
import type { Place } from './place.js';
import { createLockFile, lockFile, removeAndUnlock, type LockFile } from './lock.js';
import { followDirectory, isSharedSticky, lockMode } from './lockAccess.js';
import { isRefusal, refuse, type Refusal } from './refusal.js';
import { eraseAndUnlock } from './release.js';
import { isDead, removeIf, type Removal } from './removeIf.js';

/** Whether a socket file is stale, as far as it can be seen without the lock. */
export function* judge(place: Place): Operation<'proved' | Exclude<Removal, { outcome: 'removed' }>> {
  const there = yield* sys.fstatat(place.directory.fd, place.name);
  if (there === 'ENOENT') return { outcome: 'gone' };
  if (failed(there)) return { outcome: 'failed', errno: there, syscall: 'lstat', path: place.path };
  const verdict = yield* isDead(place, there);
  if (verdict === 'proved') return verdict;
  return typeof verdict === 'object' && verdict.errno === 'ENOENT' ? { outcome: 'gone' } : { outcome: 'kept', why: verdict };
}

/** The subject of `removeStale`. */
export interface Stale {
  readonly place: Place;
  /**
   * The places whose locks are taken, one after another: that of the socket file itself, and that
   * of the address to which the name belongs (as its handover socket, or as a name set aside).
   */
  readonly guards: readonly Place[];
  /** The content of the lock files in the meantime: `cleaningRecord`. */
  readonly record: string;
}

/**
 * Removes a socket file that no process is bound to, for a process that does not want the address.
 *
 * It does so under the lock, and by the same steps as a start, so that a start at this moment loses
 * nothing (G4).
 */
export function* removeStale(stale: Stale): Operation<Removal | Refusal> {
  // First without the lock: locking a live address could make a start fail, and nothing should be
  // created if nothing is to be removed.
  const first = yield* judge(stale.place);
  if (first !== 'proved') return first;
  const socket = yield* sys.fstatat(stale.place.directory.fd, stale.place.name);
  return failed(socket) ? { outcome: 'gone' } : yield* underLocks(stale, socket);
}

function* underLocks(stale: Stale, socket: FileStatus): Operation<Removal | Refusal> {
  const [guard, ...others] = stale.guards;
  if (guard === undefined) return yield* takeSettled(stale.place);
  const directory = yield* sys.fstat(guard.directory.fd);
  if (failed(directory)) return refuse('system', directory, 'fstat', guard.directory.path);
  const locked = yield* lockFile(guard, false, {
    claims: false,
    create: () => makeLocked(guard, { directory, socket }, stale.record),
    trusted: socket.uid,
  });
  if (isRefusal(locked)) return locked;
  const { lockFd, made } = locked;
  if (!made) yield* writeRecord(lockFd, stale.record);
  const outcome = yield* underLocks({ ...stale, guards: others }, socket);
  if (made) yield* removeAndUnlock(guard, lockFd);
  else yield* eraseAndUnlock({ lockFd });
  return outcome;
}

/**
 * Renames the file to itself, and then takes it.
 *
 * A start binds before it judges, so that the bind(2) of a program without locks is over, and its
 * socket does not look dead. Here there is nothing to bind. The rename changes nothing, but like
 * every call that changes a name it waits for the directory.
 */
function* takeSettled(place: Place): Operation<Removal> {
  const there = yield* sys.renameat2(place.directory.fd, place.name, place.name, 'RENAME_NOREPLACE');
  // A name that is free at this moment may be bound in the next.
  return there === 'ENOENT' ? { outcome: 'gone' } : yield* removeIf(place, isDead);
}

/**
 * The files whose owners must be able to open the lock file if this process is killed before it
 * removes it.
 */
interface Heirs {
  readonly directory: FileStatus;
  readonly socket: FileStatus;
}

/**
 * Creates the lock file in its final state: it gets its name only when it belongs to that user, is
 * locked, and records that `clean` has it.
 *
 * Otherwise a start might open it a moment earlier. That start would be refused, because the file
 * is another user's, or would lock it before us.
 */
function* makeLocked(place: Place, heirs: Heirs, record: string): Operation<LockFile | Errno | Refusal> {
  const { lock, lockPath } = place;
  const nameless = yield* sys.openat(lock.directory.fd, '.', 'O_RDWR|O_TMPFILE|O_CLOEXEC', lockMode);
  if (nameless === 'EACCES') return nameless;
  if (!failed(nameless)) {
    const refused = yield* prepare(nameless, lockPath, heirs, record);
    const from = `/proc/self/fd/${nameless}`;
    const named = refused ?? (yield* sys.linkat(lock.directory.fd, from, lock.name, 'AT_SYMLINK_FOLLOW'));
    if (named === 0) return { lockFd: nameless, made: true };
    yield* sys.close(nameless);
    if (isRefusal(named) || named === 'EEXIST') return named;
  }
  return yield* makeThenLock(place, heirs, record);
}

/**
 * Does the same without unnamed files: on file systems that lack them (overlayfs before Linux 6.3,
 * many FUSE ones, NFS), without /proc, or on other systems than Linux. While the file is still
 * ours, a start of its owner is refused.
 */
function* makeThenLock(place: Place, heirs: Heirs, record: string): Operation<LockFile | Errno | Refusal> {
  const user = yield* sys.geteuid();
  if (isSharedSticky(heirs.directory) && heirs.socket.uid !== user && user !== 0)
    return refuse('system', 'EPERM', 'chown', place.lockPath);
  const created = yield* createLockFile(place);
  if (failed(created)) return created;
  const refused = yield* prepare(created.lockFd, place.lockPath, heirs, record);
  if (refused === undefined) return created;
  // A start has locked it first: the file belongs to that start now.
  if (refused.errno === 'EAGAIN') return { ...created, made: false };
  if (refused.syscall === 'flock') yield* sys.close(created.lockFd);
  else yield* removeAndUnlock(place, created.lockFd);
  return refused;
}

/**
 * Locks a lock file that this process created, gives it to the user who starts there, and writes
 * the record. In a sticky directory of several users, that is the owner of the socket. Without the
 * lock the file must not be removed again.
 */
function* prepare(fd: number, lockPath: string, { directory, socket }: Heirs, record: string): Operation<Refusal | undefined> {
  const locked = yield* sys.flock(fd, 'LOCK_EX|LOCK_NB');
  if (failed(locked)) return refuse('system', locked, 'flock', lockPath);
  const widened = yield* sys.fchmod(fd, lockMode); // The umask may have narrowed it.
  if (failed(widened)) return refuse('system', widened, 'fchmod', lockPath);
  const file = yield* sys.fstat(fd);
  if (failed(file)) return refuse('system', file, 'fstat', lockPath);
  const given = isSharedSticky(directory) ? yield* give(fd, file, socket) : yield* followDirectory(fd, file, directory);
  if (failed(given)) return refuse('system', given, 'chown', lockPath);
  yield* writeRecord(fd, record);
  return undefined;
}

function* give(fd: number, file: FileStatus, { uid, gid }: FileStatus): Operation<0 | Errno> {
  return uid === file.uid ? 0 : yield* sys.fchownat(fd, '', uid, gid);
}
