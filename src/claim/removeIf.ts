import { failed, sys, type Errno, type FileStatus, type Operation } from '../kernel/kernel.js';
import { unpinned, type Named, type Place } from './place.js';
import { probe, type Liveness } from './probe.js';

/** The outcome of `removeIf`. Only `removed` means that a file was removed. */
export type Removal =
  /** The file was proved removable, and is gone. */
  | { readonly outcome: 'removed' }
  /** There was no file, or it is gone already. */
  | { readonly outcome: 'gone' }
  /** The proof failed. The file was never touched, or is back in its place. */
  | { readonly outcome: 'kept'; readonly why: Unproved }
  /**
   * The proof failed when the file was already aside, and another process has taken its name. It
   * stays aside as long as it is live.
   */
  | { readonly outcome: 'left-aside'; readonly why: Unproved }
  /** A system call failed. Nothing was removed. */
  | { readonly outcome: 'failed'; readonly errno: Errno; readonly syscall: 'lstat' | 'rename' | 'unlink'; readonly path: string };

/** Why a file must not be removed. */
export type Unproved = 'not-a-socket' | 'live' | 'another-inode' | { readonly errno: Errno };

/** Decides whether the file of this name may be removed. */
export type Proof = (file: Named, status: FileStatus) => Operation<'proved' | Unproved>;

/**
 * Removes the socket file if `proof` holds for it. Nothing else ever removes the name of an address
 * (G4).
 *
 * unlink(2) removes the file that has the name *now*, and between our proof and our unlink another
 * process may have bound it. So the file is first set aside under a name that no other process
 * uses, proved again there, and only then unlinked. Both renames refuse to replace a file.
 */
export function* removeIf(place: Place, proof: Proof): Operation<Removal> {
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

/**
 * Whether the file disappeared while it was judged: a program without locks stopped, and unlinked
 * its socket.
 */
function isGone(verdict: 'proved' | Unproved): boolean {
  return typeof verdict === 'object' && verdict.errno === 'ENOENT';
}

/** Proves that the file is a socket, and that no process is bound to it. */
export function* isDead(file: Named, status: FileStatus): Operation<'proved' | Unproved> {
  // Before the probe: connect(2) fails with ECONNREFUSED for a regular file just as for a dead
  // socket.
  if (status.type !== 'socket') return 'not-a-socket';
  const answer: Liveness = yield* probe(file);
  const liveness = answer === 'EACCES' ? yield* probeAsOwner(file, status) : answer;
  if (liveness === 'dead') return 'proved';
  if (liveness === 'live') return 'live';
  return { errno: liveness === 'gone' ? 'ENOENT' : liveness };
}

/**
 * Probes a socket file of this user that denies its owner write permission, which connect(2)
 * requires.
 *
 * Such a mode was requested, or comes from the umask of a start that crashed before its chmod(2).
 * Root may connect anyway. Any other user could never prove the socket dead, and could never start
 * again (G3).
 *
 * So the owner gets write permission during the probe: only this user, who could take it at any
 * time. It is set through a descriptor of that very inode, so that no other file is changed, no
 * matter what is put at the path. A dead socket keeps it: it is about to be unlinked. A crash
 * before the mode is restored leaves a live socket with `u+w`.
 */
function* probeAsOwner({ directory, name }: Named, status: FileStatus): Operation<Liveness> {
  if ((status.mode & 0o200) !== 0 || status.uid !== (yield* sys.geteuid())) return 'EACCES';
  const file = yield* sys.openat(directory.fd, name, 'O_PATH|O_NOFOLLOW|O_CLOEXEC', 0);
  if (failed(file)) return file === 'ENOENT' ? 'gone' : 'EACCES';
  const opened = yield* sys.fstat(file);
  const same = !failed(opened) && opened.type === 'socket' && opened.ino === status.ino && opened.dev === status.dev;
  let liveness: Liveness = 'EACCES';
  if (same && (yield* sys.fchmodat(file, '', status.mode | 0o200)) === 0) {
    // Without /proc, by its name: a process that may replace the file there gains nothing by it.
    liveness = yield* probe(directory.through === directory.path ? { directory, name } : unpinned(`/proc/self/fd/${file}`));
    if (liveness !== 'dead') yield* sys.fchmodat(file, '', status.mode);
  }
  yield* sys.close(file);
  return liveness;
}

/**
 * Proves that the file is the inode that our socket is bound to. Sound only while that socket is
 * open: an open socket pins its inode's number (G5).
 */
export function isInode(ours: Inode): Proof {
  return (_file, status) => prove(status, status.ino === ours.ino && status.dev === ours.dev);
}

type Inode = Pick<FileStatus, 'dev' | 'ino'>;

/** One generator function for all proofs: each new one would cost V8 a hidden class. */
function* prove({ type }: FileStatus, isOurs: boolean): Operation<'proved' | Unproved> {
  if (type !== 'socket') return 'not-a-socket';
  return isOurs ? 'proved' : 'another-inode';
}

/**
 * Whether a file is the one that sock_diag(7) reported for a socket: 32 bits of its inode number
 * are known. Undefined: the kernel does not tell, or numbers files differently from stat(2) (btrfs,
 * some overlays).
 */
export function isFileOf(bound: Inode | Errno, { dev, ino }: Inode): boolean | undefined {
  return failed(bound) || bound.dev !== dev ? undefined : bound.ino === BigInt.asUintN(32, ino);
}

/** Proves that the file is the one that sock_diag(7) reported for our open socket. */
export function isBound(ours: Inode): Proof {
  return (_file, status) => prove(status, isFileOf(ours, status) === true);
}

function* setAside({ directory, name, aside }: Place): Operation<0 | Errno> {
  const moved = yield* sys.renameat2(directory.fd, name, aside.name, 'RENAME_NOREPLACE');
  if (moved !== 'EINVAL' && moved !== 'ENOSYS') return moved;
  // RENAME_NOREPLACE is missing here (macOS has its own, the BSDs and some network file systems
  // have none). A plain rename replaces nothing either: only a crash of ours puts a file aside, the
  // lock is held, and `recoverAside` has looked.
  const occupied = yield* sys.fstatat(directory.fd, aside.name);
  if (occupied !== 'ENOENT') return failed(occupied) ? occupied : 'EEXIST';
  return yield* sys.renameat2(directory.fd, name, aside.name, '');
}

/** Gives a file its name back, unless the name has been taken in the meantime (`EEXIST`). */
export function* putBack({ directory, name, aside }: Place): Operation<0 | Errno> {
  const moved = yield* sys.renameat2(directory.fd, aside.name, name, 'RENAME_NOREPLACE');
  if (moved !== 'EINVAL' && moved !== 'ENOSYS') return moved;
  const linked = yield* sys.linkat(directory.fd, aside.name, name);
  return failed(linked) ? linked : yield* sys.unlinkat(directory.fd, aside.name);
}
