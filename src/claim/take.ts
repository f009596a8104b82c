import { failed, sys, type Errno, type FileStatus, type Operation } from '../kernel/kernel.js';
import { unpinned, type Named, type Place } from './place.js';
import { probe, type Liveness } from './probe.js';

/** What came of a `take`. Only `removed` means that we removed something. */
export type Taken =
  /** The name was proved to be what we meant to remove, and is gone. */
  | { readonly outcome: 'removed' }
  /** Nothing was there (any more). */
  | { readonly outcome: 'gone' }
  /** The proof failed: what is there was never touched, or is back in its place. */
  | { readonly outcome: 'kept'; readonly why: Unproved }
  /** The proof failed after we had set it aside, and somebody took the name meanwhile: it stays aside, and is never unlinked. */
  | { readonly outcome: 'left-aside'; readonly why: Unproved }
  /** A system call failed; nothing was removed. */
  | { readonly outcome: 'failed'; readonly errno: Errno; readonly syscall: 'lstat' | 'rename' | 'unlink'; readonly path: string };

/** Why a file is not what we may remove. */
export type Unproved = 'not-a-socket' | 'live' | 'another-inode' | { readonly errno: Errno };

/** Decides whether the file of this name may be removed. */
export type Proof = (file: Named, status: FileStatus) => Operation<'proved' | Unproved>;

/**
 * Removes the socket file if `proof` holds for it. The one way in which the name of an address is ever removed. G4.
 *
 * unlink(2) removes whatever has the name *now*, and between our proof and our unlink somebody else may have bound it. So the
 * file is first set aside under a name that nobody else uses, proved again there, and only then unlinked. Both renames refuse to
 * replace anything.
 */
export function* take(place: Place, proof: Proof): Operation<Taken> {
  const { directory, name, path, aside, asidePath } = place;
  const there = yield* sys.fstatat(directory.fd, name);
  if (there === 'ENOENT') return { outcome: 'gone' };
  if (failed(there)) return { outcome: 'failed', errno: there, syscall: 'lstat', path };
  const first = yield* proof(place, there);
  if (isGone(first)) return { outcome: 'gone' };
  if (first !== 'proved') return { outcome: 'kept', why: first };

  const moved = yield* setAside(place);
  if (moved === 'ENOENT') return { outcome: 'gone' };
  if (failed(moved)) return { outcome: 'failed', errno: moved, syscall: 'rename', path: moved === 'EEXIST' ? asidePath : path };

  const set = yield* sys.fstatat(directory.fd, aside.name);
  if (set === 'ENOENT') return { outcome: 'gone' };
  const second = failed(set) ? { errno: set } : yield* proof(aside, set);
  if (isGone(second)) return { outcome: 'gone' };
  if (second === 'proved') {
    const removed = yield* sys.unlinkat(directory.fd, aside.name);
    if (failed(removed) && removed !== 'ENOENT') return { outcome: 'failed', errno: removed, syscall: 'unlink', path: asidePath };
    return { outcome: 'removed' };
  }
  const back = yield* putBack(place);
  return { outcome: back === 'EEXIST' ? 'left-aside' : 'kept', why: second };
}

/** Somebody has removed the file while it was being judged: a program without locks that stops, and unlinks its socket. */
function isGone(verdict: 'proved' | Unproved): boolean {
  return typeof verdict === 'object' && verdict.errno === 'ENOENT';
}

/** It is a socket, and no process is bound to it. */
export function* isDead(file: Named, status: FileStatus): Operation<'proved' | Unproved> {
  // Before the probe: connect(2) to a regular file says ECONNREFUSED, exactly as to a dead socket.
  if (status.type !== 'socket') return 'not-a-socket';
  const answer: Liveness = yield* probe(file);
  const liveness = answer === 'EACCES' ? yield* probeAsOwner(file, status) : answer;
  if (liveness === 'dead') return 'proved';
  if (liveness === 'live') return 'live';
  return { errno: liveness === 'gone' ? 'ENOENT' : liveness };
}

/**
 * connect(2) asks for write permission, and a socket file of this very user may give it none: one that was bound with such a mode,
 * or under such a umask by a start that crashed before its chmod(2). Root may connect all the same; anybody else could never prove it
 * dead, and would never start again (G3).
 *
 * So the owner is given write permission for the time of the probe: nobody but this user, who could take it at any time. On a
 * descriptor of that very inode, so that no other file is changed whatever somebody puts at the path. What is dead is left so: it is
 * about to be unlinked. A crash before the mode is put back leaves a live socket with `u+w`.
 */
function* probeAsOwner({ directory, name }: Named, status: FileStatus): Operation<Liveness> {
  if ((status.mode & 0o200) !== 0 || status.uid !== (yield* sys.geteuid())) return 'EACCES';
  const file = yield* sys.openat(directory.fd, name, 'O_PATH|O_NOFOLLOW|O_CLOEXEC', 0);
  if (failed(file)) return file === 'ENOENT' ? 'gone' : 'EACCES';
  const opened = yield* sys.fstat(file);
  const same = !failed(opened) && opened.type === 'socket' && opened.ino === status.ino && opened.dev === status.dev;
  let liveness: Liveness = 'EACCES';
  if (same && (yield* sys.fchmodat(file, '', status.mode | 0o200)) === 0) {
    // Where there is no /proc, by its name: whoever may replace it there is not kept from anything.
    liveness = yield* probe(directory.through === directory.path ? { directory, name } : unpinned(`/proc/self/fd/${file}`));
    if (liveness !== 'dead') yield* sys.fchmodat(file, '', status.mode);
  }
  yield* sys.close(file);
  return liveness;
}

/** It is the inode that our socket is bound to. Sound only while that socket is open: an open socket pins its inode's number. G5. */
export function isInode(ours: Pick<FileStatus, 'dev' | 'ino'>): Proof {
  return function* (_file, status) {
    if (status.type !== 'socket') return 'not-a-socket';
    return status.ino === ours.ino && status.dev === ours.dev ? 'proved' : 'another-inode';
  };
}

/** It is the file that sock_diag(7) said our open socket is bound to: its inode number is known to 32 bits. */
export function isBound(ours: Pick<FileStatus, 'dev' | 'ino'>): Proof {
  return function* (_file, status) {
    if (status.type !== 'socket') return 'not-a-socket';
    return BigInt.asUintN(32, status.ino) === ours.ino && status.dev === ours.dev ? 'proved' : 'another-inode';
  };
}

function* setAside({ directory, name, aside }: Place): Operation<0 | Errno> {
  const moved = yield* sys.renameat2(directory.fd, name, aside.name, 'RENAME_NOREPLACE');
  if (moved !== 'EINVAL' && moved !== 'ENOSYS') return moved;
  // No RENAME_NOREPLACE here (macOS has its own, the BSDs and some network file systems have none): nothing but a crash of ours
  // puts a file aside, the lock is held, and `recoverAside` has looked, so a plain rename replaces nothing.
  const occupied = yield* sys.fstatat(directory.fd, aside.name);
  if (occupied !== 'ENOENT') return failed(occupied) ? occupied : 'EEXIST';
  return yield* sys.renameat2(directory.fd, name, aside.name, '');
}

/** Gives a file its name back, unless the name has been taken meanwhile (`EEXIST`). */
export function* putBack({ directory, name, aside }: Place): Operation<0 | Errno> {
  const moved = yield* sys.renameat2(directory.fd, aside.name, name, 'RENAME_NOREPLACE');
  if (moved !== 'EINVAL' && moved !== 'ENOSYS') return moved;
  const linked = yield* sys.linkat(directory.fd, aside.name, name);
  return failed(linked) ? linked : yield* sys.unlinkat(directory.fd, aside.name);
}
