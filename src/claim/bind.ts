import { namesOf } from '../address/names.js';
import { AT_FDCWD, failed, sys, type Errno, type FileStatus, type Operation } from '../kernel/kernel.js';
import { attemptsMax, restsMs } from './lock.js';
import { isInPlace, throughOf, type Place } from './place.js';
import { isRefusal, refuse, type Refusal } from './refusal.js';
import { isBound, isDead, isInode, putBack, take, type Taken } from './take.js';

/** What the caller asks of the socket. */
export interface Terms {
  /** Permission bits of the socket file, whatever the umask. Undefined: what bind(2) gives, 0777 less the umask. */
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** listen(2); the kernel caps it at net.core.somaxconn. */
  readonly backlog: number;
  /** What goes into the lock file, see `record.ts`. */
  readonly record: string;
}

/** The file that our socket is bound to. */
export type Identity = Pick<FileStatus, 'dev' | 'ino'>;

export interface Bound {
  readonly listenFd: number;
  readonly identity: Identity;
}

/** A socket file that systemd-tmpfiles(8) cannot match with a live socket must be sticky, or it is removed for its age. */
const sticky = 0o1000;

/** Steps 5 to 9, under the lock: a socket that is bound to the path and listens, with the mode and owner that were asked for. */
export function* bindUnderLock(place: Place, terms: Terms): Operation<Bound | Refusal> {
  const refused = yield* recoverAside(place);
  if (refused !== undefined) return refused;
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const listenFd = yield* sys.socket();
    if (failed(listenFd)) return refuse('system', listenFd, 'socket', place.path);
    const bound = yield* bindAndListen(place, terms, listenFd);
    if (bound !== 'displaced' && !isRefusal(bound)) return { listenFd, identity: bound };
    yield* sys.close(listenFd);
    if (isRefusal(bound)) return bound;
  }
  return refuse('unstable', 'EADDRINUSE', 'bind', place.path);
}

/**
 * Step 5. A crash inside `take` leaves a file aside. A dead socket is removed there; anything else gets its name back, unless
 * somebody has that name: then it stays aside, and step 7 says so if it needs the place.
 */
export function* recoverAside(place: Place): Operation<Refusal | undefined> {
  const { directory, aside, asidePath } = place;
  const there = yield* sys.fstatat(directory.fd, aside.name);
  if (there === 'ENOENT') return undefined;
  if (failed(there)) return refuse('system', there, 'lstat', asidePath);
  const verdict = yield* isDead(aside, there);
  const done = verdict === 'proved' ? yield* sys.unlinkat(directory.fd, aside.name) : yield* putBack(place);
  if (done === 0 || done === 'ENOENT' || done === 'EEXIST') return undefined;
  return refuse('system', done, verdict === 'proved' ? 'unlink' : 'rename', asidePath);
}

/** Steps 6 to 9. On `displaced` somebody has unlinked or replaced our file already, and there is nothing of ours at the path. */
function* bindAndListen(place: Place, terms: Terms, fd: number): Operation<Identity | 'displaced' | Refusal> {
  const modeBefore = terms.mode ?? (place.long ? 0o777 : undefined);
  // Before bind(2), so that the file never has a wider mode than was asked for, not even for a moment. Elsewhere than on Linux
  // this fails, and `grant` sets the mode: no connection is accepted before listen(2). G6.
  if (modeBefore !== undefined) yield* sys.fchmod(fd, withSticky(place, modeBefore));

  const refused = yield* bindOrClear(place, fd);
  if (refused !== undefined) return refused;
  const file = yield* identify(place, fd);
  if (file === 'displaced') return (yield* recall(place, fd)) ?? file;
  if (isRefusal(file)) return file;

  const granted = yield* grant(place, terms, file);
  if (granted === 'displaced') return granted;
  const listening = granted ?? (yield* listen(place, fd, terms.backlog));
  if (listening === undefined) return { dev: file.dev, ino: file.ino };
  yield* take(place, isInode(file)); // Before the close: the open socket pins its inode.
  return listening;
}

/** Steps 6 and 7. Bind comes first: on a free name nothing is judged or removed, and nobody else's half-finished bind is seen. */
function* bindOrClear(place: Place, fd: number): Operation<Refusal | undefined> {
  let rests = 0;
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const bound = yield* bindName(place, fd);
    if (bound === 0) return undefined;
    if (bound !== 'EADDRINUSE') return (yield* findMoved(place)) ?? refuse('system', bound, 'bind', place.path);
    const taken = yield* take(place, isDead);
    if (taken.outcome === 'removed') continue;
    if (taken.outcome === 'gone') {
      const moved = yield* findMoved(place);
      if (moved !== undefined) return moved;
      continue;
    }
    // A killed process may close its lock a moment before its socket (Linux 6 begins with the highest descriptor): not all that
    // is live is a stray.
    const restMs = restsMs[rests++];
    if (taken.outcome !== 'kept' || taken.why !== 'live' || restMs === undefined) return explainTaken(place, taken);
    yield* sys.sleep(restMs);
  }
  return refuse('unstable', 'EADDRINUSE', 'bind', place.path);
}

/**
 * The one call that names the directory by its path: ss(8), lsof(8) and systemd-tmpfiles(8) look at the name that a socket was bound
 * to. `identify` says whether it was the pinned directory. A path that doesn't fit sun_path is bound through the descriptor.
 */
function* bindName(place: Place, fd: number): Operation<0 | Errno> {
  return yield* sys.bind(fd, place.long ? throughOf(place) : place.path);
}

/**
 * Our file is not at its name. Where another directory has taken the place of the pinned one before our bind(2), it is there, and it is
 * taken away again: that file alone, which our open socket pins. Then this attempt is over.
 */
function* recall(place: Place, fd: number): Operation<Refusal | undefined> {
  const moved = yield* findMoved(place);
  if (moved === undefined) return undefined;
  const { path } = place.directory;
  const bound = yield* sys.sock_diag(fd);
  const there = yield* sys.openat(AT_FDCWD, path, 'O_PATH|O_DIRECTORY|O_CLOEXEC', 0);
  if (!failed(there)) {
    const directory = { fd: there, path, through: path };
    // Not the name aside: that is for the process that has the lock of that directory, and we have it not.
    const elsewhere = { ...place, directory, aside: { directory, name: namesOf(place.name).recalled } };
    if (!failed(bound)) yield* take(elsewhere, isBound(bound));
    yield* sys.close(there);
  }
  return moved;
}

/** The path of a long address is never used. */
function* findMoved({ directory, long }: Place): Operation<Refusal | undefined> {
  if (long || (yield* isInPlace(directory))) return undefined;
  return refuse('directory-moved', 'ESTALE', 'bind', directory.path);
}

export function explainTaken({ path, asidePath }: Place, taken: Exclude<Taken, { outcome: 'removed' | 'gone' }>): Refusal {
  if (taken.outcome === 'failed') {
    return refuse(taken.errno === 'EEXIST' ? 'aside-occupied' : 'system', taken.errno, taken.syscall, taken.path);
  }
  if (taken.outcome === 'left-aside') return refuse('aside-occupied', 'EADDRINUSE', 'rename', asidePath);
  if (taken.why === 'live') return refuse('stray', 'EADDRINUSE', 'bind', path);
  if (taken.why === 'not-a-socket') return refuse('not-a-socket', 'ENOTSOCK', 'bind', path);
  return refuse('system', taken.why === 'another-inode' ? 'EADDRINUSE' : taken.why.errno, 'probe', path);
}

/**
 * Step 9. Which file is ours? lstat(2) alone can't say: somebody may have replaced it since bind(2), and release would remove
 * theirs. The kernel knows (sock_diag). Where its numbers are of another kind than those of stat(2) (btrfs, some overlays), or it
 * doesn't answer, lstat(2) must do.
 */
function* identify({ directory, name, path }: Place, fd: number): Operation<FileStatus | 'displaced' | Refusal> {
  const named = yield* sys.fstatat(directory.fd, name);
  if (named === 'ENOENT') return 'displaced';
  if (failed(named)) return refuse('system', named, 'lstat', path);
  if (named.type !== 'socket') return 'displaced';
  const bound = yield* sys.sock_diag(fd);
  const comparable = !failed(bound) && bound.dev === named.dev;
  if (comparable && bound.ino !== BigInt.asUintN(32, named.ino)) return 'displaced';
  return named;
}

/**
 * Step 8. Owner, and the mode where the umask narrowed it, on our own file only: through a descriptor of it that is compared with
 * our identity, so that a symlink or a file that somebody puts at the path is never changed.
 */
export function* grant(place: Place, terms: Terms, file: FileStatus): Operation<Refusal | 'displaced' | undefined> {
  const mode = withSticky(place, terms.mode ?? file.mode);
  const chown = (terms.uid ?? file.uid) !== file.uid || (terms.gid ?? file.gid) !== file.gid;
  if (mode === file.mode && !chown) return undefined;

  const opened = yield* sys.openat(place.directory.fd, place.name, 'O_PATH|O_NOFOLLOW|O_CLOEXEC', 0);
  if (opened === 'ENOENT') return 'displaced';
  if (failed(opened) && opened !== 'ENOSYS') return refuse('system', opened, 'open', place.path);
  const [directory, name] = failed(opened) ? ([place.directory.fd, place.name] as const) : ([opened, ''] as const);
  const status = failed(opened) ? yield* sys.fstatat(directory, name) : yield* sys.fstat(opened);
  const ours = !failed(status) && status.ino === file.ino && status.dev === file.dev;
  let done: Refusal | 'displaced' | undefined = ours ? undefined : 'displaced';
  if (ours && chown) {
    const changed = yield* sys.fchownat(directory, name, terms.uid ?? -1, terms.gid ?? -1);
    if (failed(changed)) done = refuse('system', changed, 'chown', place.path);
  }
  if (done === undefined && mode !== file.mode) {
    const changed = yield* sys.fchmodat(directory, name, mode);
    if (failed(changed)) done = refuse('system', changed, 'chmod', place.path);
  }
  if (!failed(opened)) yield* sys.close(opened);
  return done;
}

function* listen({ path }: Place, fd: number, backlog: number): Operation<Refusal | undefined> {
  const listening = yield* sys.listen(fd, backlog);
  return failed(listening) ? refuse('system', listening, 'listen', path) : undefined;
}

function withSticky(place: Place, mode: number): number {
  return place.long ? mode | sticky : mode;
}
