import { namesOf } from '../address/names.js';
import { hasConnections, type SocketType } from '../address/socketType.js';
import { AT_FDCWD, failed, sys, type Errno, type FileStatus, type Operation } from '../kernel/kernel.js';
import { attemptsMax, restsMs } from './lock.js';
import { isInPlace, throughOf, type Place } from './place.js';
import { isRefusal, refuse, type Refusal } from './refusal.js';
import { isBound, isDead, isFileOf, isInode, putBack, removeIf, type Removal } from './removeIf.js';

/** The caller's terms for the socket. */
export interface Terms {
  /** Undefined: a stream. */
  readonly type?: SocketType | undefined;
  /**
   * Permission bits of the socket file, regardless of the umask. Undefined: 0777 less the umask, as
   * bind(2) sets them.
   */
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /**
   * Whether it listens. Not if it only keeps the name for a socket of the runtime. Default: yes.
   */
  readonly listens?: boolean | undefined;
  /** For listen(2). The kernel caps it at net.core.somaxconn. */
  readonly backlog: number;
  /** The content of the lock file, see `record.ts`. */
  readonly record: string;
  /**
   * Whether a clean release keeps the lock file. `remove-made`: it is removed if this claim created
   * it. Default: `keep`.
   */
  readonly lockFile?: 'keep' | 'remove' | 'remove-made' | undefined;
}

/** The file that our socket is bound to. */
export type Identity = Pick<FileStatus, 'dev' | 'ino'>;

export interface Bound {
  readonly listenFd: number;
  readonly identity: Identity;
}

/**
 * systemd-tmpfiles(8) removes a socket file by its age, unless the file is sticky, or matches a
 * live socket.
 */
const sticky = 0o1000;

/**
 * The steps "recover" to "listen", under the lock. Returns a socket that is bound to the path and
 * listens, with the requested mode and owner.
 */
export function* bindUnderLock(place: Place, terms: Terms): Operation<Bound | Refusal> {
  const refused = yield* recoverAside(place);
  if (refused !== undefined) return refused;
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const listenFd = yield* sys.socket(terms.type);
    if (failed(listenFd)) return refuse('system', listenFd, 'socket', place.path);
    const bound = yield* bindAndListen(place, terms, listenFd);
    if (bound !== 'displaced' && !isRefusal(bound)) return { listenFd, identity: bound };
    yield* sys.close(listenFd);
    if (isRefusal(bound)) return bound;
  }
  return refuse('unstable', 'EADDRINUSE', 'bind', place.path);
}

/**
 * The step "recover": a crash inside `removeIf` leaves a file aside. If it is a dead socket, it is
 * removed. Any other file gets its name back, unless the name is in use: then it stays aside, and
 * `removeIf` reports it if it needs the place.
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

/**
 * The steps "bind" to "listen". Returns `displaced` if another process has already unlinked or
 * replaced our file; nothing of ours is then at the path.
 */
function* bindAndListen(place: Place, terms: Terms, fd: number): Operation<Identity | 'displaced' | Refusal> {
  const modeBefore = modeUntilGrant(place, terms);
  // Before bind(2), so that the file never has a wider mode than requested, not even for a moment
  // (G6). On other systems than Linux this fails, and `grant` sets the mode: no connection is
  // accepted before listen(2).
  if (modeBefore !== undefined) yield* sys.fchmod(fd, withSticky(place, modeBefore));

  const refused = yield* bindOrRemove(place, fd);
  if (refused !== undefined) return refused;
  const file = yield* identify(place, fd);
  if (file === 'displaced') return (yield* recall(place, fd)) ?? file;
  if (isRefusal(file)) return file;

  const granted = yield* grant(place, terms, file);
  if (granted === 'displaced') return granted;
  const listening = granted ?? (yield* listen(place, fd, terms));
  if (listening === undefined) return { dev: file.dev, ino: file.ino };
  // Before the close: the open socket pins its inode.
  yield* removeIf(place, isInode(file));
  return listening;
}

/**
 * The steps "bind" and "remove". bind(2) comes first: on a free name nothing is judged or removed,
 * and no half-finished bind of another process is seen.
 */
function* bindOrRemove(place: Place, fd: number): Operation<Refusal | undefined> {
  let rests = 0;
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const bound = yield* bindName(place, fd);
    if (bound === 0) return undefined;
    if (bound !== 'EADDRINUSE') return (yield* findMoved(place)) ?? refuse('system', bound, 'bind', place.path);
    const removal = yield* removeIf(place, isDead);
    if (removal.outcome === 'removed') continue;
    if (removal.outcome === 'gone') {
      const moved = yield* findMoved(place);
      if (moved !== undefined) return moved;
      continue;
    }
    // A killed process may close its lock a moment before its socket, because Linux 6 begins with
    // the highest descriptor. A live socket is not yet a stray.
    const restMs = restsMs[rests++];
    if (removal.outcome !== 'kept' || removal.why !== 'live' || restMs === undefined) return explainKept(place, removal);
    yield* sys.sleep(restMs);
  }
  return refuse('unstable', 'EADDRINUSE', 'bind', place.path);
}

/**
 * Binds by the path of the directory. This is the only call that does so: ss(8), lsof(8) and
 * systemd-tmpfiles(8) read the name that a socket was bound to.
 *
 * `identify` tells whether the path led to the pinned directory. A path that does not fit sun_path
 * is bound through the descriptor.
 */
function* bindName(place: Place, fd: number): Operation<0 | Errno> {
  return yield* sys.bind(fd, place.long ? throughOf(place) : place.path);
}

/**
 * The step "recall": our file is not at its name. If another directory replaced the pinned one
 * before our bind(2), the file is there. It is removed, and no other file is: our open socket pins
 * it. This attempt ends.
 */
function* recall(place: Place, fd: number): Operation<Refusal | undefined> {
  const moved = yield* findMoved(place);
  if (moved === undefined) return undefined;
  const { path } = place.directory;
  const bound = yield* sys.sock_diag(fd);
  const there = yield* sys.openat(AT_FDCWD, path, 'O_PATH|O_DIRECTORY|O_CLOEXEC', 0);
  if (!failed(there)) {
    const directory = { fd: there, path, through: path };
    // Not the name `aside`: it belongs to the process that holds the lock of that directory, which
    // is not ours.
    const elsewhere = { ...place, directory, aside: { directory, name: namesOf(place.name).recalled } };
    if (!failed(bound)) yield* removeIf(elsewhere, isBound(bound));
    yield* sys.close(there);
  }
  return moved;
}

/** A long address is never bound by its path. */
function* findMoved({ directory, long }: Place): Operation<Refusal | undefined> {
  if (long || (yield* isInPlace(directory))) return undefined;
  return refuse('directory-moved', 'ESTALE', 'bind', directory.path);
}

export function explainKept({ path, asidePath }: Place, removal: Exclude<Removal, { outcome: 'removed' | 'gone' }>): Refusal {
  if (removal.outcome === 'failed') {
    return refuse(removal.errno === 'EEXIST' ? 'aside-occupied' : 'system', removal.errno, removal.syscall, removal.path);
  }
  if (removal.outcome === 'left-aside') return refuse('aside-occupied', 'EADDRINUSE', 'rename', asidePath);
  if (removal.why === 'live') return refuse('stray', 'EADDRINUSE', 'bind', path);
  if (removal.why === 'not-a-socket') return refuse('not-a-socket', 'ENOTSOCK', 'bind', path);
  return refuse('system', removal.why === 'another-inode' ? 'EADDRINUSE' : removal.why.errno, 'probe', path);
}

/**
 * The step "identify": finds the file that is ours.
 *
 * lstat(2) alone cannot tell: another process may have replaced the file since bind(2), and release
 * would remove that one. The kernel knows (sock_diag). If it does not tell, lstat(2) has to
 * suffice.
 */
export function* identify({ directory, name, path }: Place, fd: number): Operation<FileStatus | 'displaced' | Refusal> {
  const named = yield* sys.fstatat(directory.fd, name);
  if (named === 'ENOENT') return 'displaced';
  if (failed(named)) return refuse('system', named, 'lstat', path);
  if (named.type !== 'socket') return 'displaced';
  const bound = yield* sys.sock_diag(fd);
  return isFileOf(bound, named) === false ? 'displaced' : named;
}

/**
 * The step "grant": sets the owner, and the mode if the umask narrowed it, on our own file only.
 * The descriptor is compared with our identity, so a symlink or a file that another process puts at
 * the path is never changed.
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

/**
 * The step "listen". Clients reach a socket without connections since its bind(2), so there is
 * nothing to do.
 */
function* listen({ path }: Place, fd: number, { type, listens, backlog }: Terms): Operation<Refusal | undefined> {
  if (!hasConnections(type) || listens === false) return undefined;
  const listening = yield* sys.listen(fd, backlog);
  return failed(listening) ? refuse('system', listening, 'listen', path) : undefined;
}

/**
 * Returns the mode that bind(2) gives to the file. If clients reach the socket from then on, and
 * its owner or group is still to change, it is for this user alone until `grant`: the group that it
 * has until then was not requested.
 */
function modeUntilGrant({ long }: Place, { mode = long ? 0o777 : undefined, type, uid, gid }: Terms): number | undefined {
  const reachable = !hasConnections(type) && (uid ?? gid) !== undefined;
  return reachable ? (mode ?? 0o777) & 0o700 : mode;
}

function withSticky(place: Place, mode: number): number {
  return place.long ? mode | sticky : mode;
}
