import { failed, sys, type Errno, type FileStatus, type Operation } from '../kernel/kernel.js';
import type { Named, Place } from './place.js';
import { probe } from './probe.js';
import { isCleaning, isRecord, recordBytesMax } from './record.js';
import { isRefusal, refuse, type Refusal } from './refusal.js';

/** How often somebody may remove or replace a file under our hands before we give up and say so. */
export const attemptsMax = 16;

/** How often we ask again where the answer may be of the moment only, and how long we rest before each: 3.1 ms in all. */
export const restsMs = [0.1, 0.2, 0.4, 0.8, 1.6] as const;

/**
 * How long a start rests besides where it is `clean` that has the lock: half a second. It removes one socket under it, which takes
 * microseconds; but on a busy machine it may be stopped in the middle. No start is to fail for that.
 */
export const restsForCleanMs = [5, 50, 500] as const;

/** The mode of a lock file: ours alone, and sticky, because systemd-tmpfiles(8) never removes a sticky file by its age. */
export const lockMode = 0o1600;

/** A lock file that is open. */
export interface LockFile {
  readonly lockFd: number;
  /** Whether we made it. */
  readonly made: boolean;
}

/** How a lock file comes to be, and whose it may be. */
export interface LockTerms {
  /** Whether the address is to be claimed: then what stands there is looked at before a lock file is made. */
  readonly claims: boolean;
  /** Makes one where there is none. `EEXIST`: there is one now. */
  readonly create: (place: Place) => Operation<LockFile | Errno | Refusal>;
  /** A user whose lock file will do, besides those that `isTrusted` names. */
  readonly trusted?: number;
}

const termsOfStart: LockTerms = { claims: true, create: createLockFile };

/**
 * Steps 1 to 4: opens the lock file and locks it. Gives the descriptor that holds the lock.
 *
 * With `wait`, a lock that somebody has is waited for in flock(2).
 */
export function* lock(place: Place, wait: boolean): Operation<number | Refusal> {
  const locked = yield* lockFile(place, wait, termsOfStart);
  return isRefusal(locked) ? locked : locked.lockFd;
}

/** The same, for those that do not want the address. */
export function* lockFile(place: Place, wait: boolean, terms: LockTerms): Operation<LockFile | Refusal> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const opened = yield* openLockFile(place, terms);
    if (isRefusal(opened)) return opened;
    const outcome = yield* lockDescriptor(place, opened.lockFd, wait, terms);
    if (outcome === 'locked') return opened;
    yield* sys.close(opened.lockFd);
    if (outcome !== 'replaced') return outcome;
  }
  return refuse('lock-unstable', 'EAGAIN', 'open', place.lockPath);
}

/** Steps 2 to 4 on a lock file that is open. */
function* lockDescriptor(place: Place, fd: number, wait: boolean, terms: LockTerms): Operation<'locked' | 'replaced' | Refusal> {
  const { lockPath } = place;
  const opened = yield* sys.fstat(fd);
  if (failed(opened)) return refuse('system', opened, 'fstat', lockPath);
  const unfit = yield* examine(place, fd, opened, terms);
  if (unfit !== 'fit') return unfit;

  const locked = yield* flock(place, fd, wait);
  if (locked !== 'locked') return locked;

  // Step 4. Compare the inodes after flock(2): somebody may have unlinked the file between our open(2) and our flock(2), and we
  // would hold a lock that nobody else can see. Our descriptor pins the inode, so its number can't have been given to another.
  const named = yield* sys.fstatat(place.lock.directory.fd, place.lock.name);
  if (named === 'ENOENT') return 'replaced';
  if (failed(named)) return refuse('system', named, 'lstat', lockPath);
  if (named.ino !== opened.ino || named.dev !== opened.dev) return 'replaced';
  return 'locked';
}

/** Step 1. O_NOFOLLOW: a symlink is refused. O_NONBLOCK: a FIFO doesn't block us. O_RDWR: flock(2) over NFS needs it. */
function* openLockFile(place: Place, { claims, create }: LockTerms): Operation<LockFile | Refusal> {
  const { lock: file, lockPath } = place;
  let rests = 0;
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    // Without O_CREAT first: where fs.protected_regular is set, O_CREAT on another user's file in a sticky directory fails.
    const fd = yield* sys.openat(file.directory.fd, file.name, 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
    if (!failed(fd)) return { lockFd: fd, made: false };
    if (fd === 'EACCES' && (yield* mendLockMode(file))) continue;
    if (fd !== 'ENOENT') return yield* explainOpen(place, fd);
    const refusal = claims ? yield* look(place) : undefined;
    const restMs = refusal?.refused === 'stray' ? restsMs[rests++] : undefined;
    if (refusal !== undefined && restMs === undefined) return refusal;
    if (restMs !== undefined) {
      // A holder may have made the file, and listened, since we asked; and one that was killed may be closing its socket.
      yield* sys.sleep(restMs);
      continue;
    }
    const created = yield* create(place);
    if (!failed(created)) return created;
    if (created === 'ENOENT') return refuse('no-directory', created, 'open', file.directory.path);
    if (created !== 'EEXIST') return refuse('system', created, 'open', lockPath);
  }
  return refuse('lock-unstable', 'EAGAIN', 'open', lockPath);
}

/**
 * Before a lock file is made: whether this start is refused anyway, so that it leaves nothing behind. `take` decides again, under the
 * lock.
 */
function* look(place: Place): Operation<Refusal | undefined> {
  const there = yield* sys.fstatat(place.directory.fd, place.name);
  if (failed(there)) return undefined;
  if (there.type !== 'socket') return refuse('not-a-socket', 'ENOTSOCK', 'bind', place.path);
  return (yield* probe(place)) === 'live' ? refuse('stray', 'EADDRINUSE', 'bind', place.path) : undefined;
}

export function* createLockFile({ lock: { directory, name } }: Place): Operation<LockFile | Errno> {
  const fd = yield* sys.openat(directory.fd, name, 'O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', lockMode);
  return failed(fd) ? fd : { lockFd: fd, made: true };
}

/**
 * Removes a lock file that we made, and have locked. That is sound because it is the last thing that we do at the address, and because
 * each process compares the inodes after it has locked a lock file (step 4). A start that has opened ours gets its lock when we close
 * it, sees that the file has no name any more, and begins anew; one that comes later makes another. No holder has ours: it would have
 * the lock. A lock file that has been put in the place of ours stays.
 */
export function* removeLockFile({ lock: { directory, name } }: Place, fd: number): Operation<void> {
  const [ours, named] = [yield* sys.fstat(fd), yield* sys.fstatat(directory.fd, name)];
  if (!failed(ours) && !failed(named) && ours.ino === named.ino && ours.dev === named.dev)
    yield* sys.unlinkat(directory.fd, name);
  yield* sys.close(fd);
}

/** Says what is at the lock path, when it can't be opened. */
function* explainOpen({ lock: file, lockPath }: Place, errno: Errno): Operation<Refusal> {
  const there = yield* sys.fstatat(file.directory.fd, file.name);
  if (!failed(there) && there.type === 'symlink') return refuse('lock-is-symlink', errno, 'open', lockPath);
  if (!failed(there) && there.type !== 'file') return refuse('lock-not-a-file', errno, 'open', lockPath);
  const denied = !failed(there) && (errno === 'EACCES' || errno === 'EPERM');
  return refuse(denied ? 'lock-denied' : 'system', errno, 'open', lockPath);
}

/** Step 2. Whether the file is one that we may lock and write our record into. Nothing is changed before that is sure. */
function* examine(place: Place, fd: number, status: FileStatus, { trusted }: LockTerms): Operation<'fit' | 'replaced' | Refusal> {
  const { lockPath } = place;
  if (status.type !== 'file') return refuse('lock-not-a-file', 'EEXIST', 'fstat', lockPath);
  if (status.nlink === 0) return 'replaced';
  // A second name may be anybody's file: our record would be written into it.
  if (status.nlink > 1) return refuse('lock-has-links', 'EEXIST', 'fstat', lockPath);
  if (status.uid !== trusted && !(yield* isTrusted(place, status)))
    return refuse('lock-foreign-owner', 'EACCES', 'fstat', lockPath);
  if (status.size > 0) {
    const content = yield* sys.pread(fd, recordBytesMax);
    if (failed(content)) return refuse('system', content, 'pread', lockPath);
    if (!isRecord(content.text)) return refuse('lock-foreign-content', 'EEXIST', 'pread', lockPath);
  }
  // Just created, by us, under a umask that denies the owner.
  if ((status.mode & 0o600) !== 0o600 && status.uid === (yield* sys.geteuid())) yield* sys.fchmod(fd, lockMode);
  return 'fit';
}

/**
 * The owner of a lock file may remove it while it is locked, also in a sticky directory, so it must be somebody who could have
 * done worse anyway: ourselves, root, the owner of the directory, or whoever a directory that only its owner writes to let in.
 */
function* isTrusted({ lock: file }: Place, status: FileStatus): Operation<boolean> {
  if (status.uid === 0 || status.uid === (yield* sys.geteuid())) return true;
  const directory = yield* sys.fstat(file.directory.fd);
  return !failed(directory) && (directory.uid === status.uid || (directory.mode & 0o022) === 0);
}

/** A crash between open(2) and fchmod(2) under a umask that denies the owner leaves a lock file that its owner can't open. */
function* mendLockMode({ directory, name }: Named): Operation<boolean> {
  const file = yield* sys.openat(directory.fd, name, 'O_PATH|O_NOFOLLOW|O_CLOEXEC', 0);
  if (failed(file)) return false;
  const status = yield* sys.fstat(file);
  const ours = !failed(status) && status.type === 'file' && status.nlink === 1 && status.uid === (yield* sys.geteuid());
  const narrowed = ours && (status.mode & 0o600) !== 0o600;
  const mended = narrowed && (yield* sys.fchmodat(file, '', lockMode)) === 0;
  yield* sys.close(file);
  return mended;
}

/** Step 3. */
function* flock(place: Place, fd: number, wait: boolean): Operation<'locked' | 'replaced' | Refusal> {
  const { lockPath } = place;
  let cleanings = 0;
  for (let rest = 0; ; rest++) {
    const locked = yield* sys.flock(fd, 'LOCK_EX|LOCK_NB');
    if (locked === 0) return 'locked';
    // Any other errno (ENOLCK, EOPNOTSUPP, …) means that locking doesn't work here, never that somebody holds the lock.
    if (locked !== 'EAGAIN') return refuse('system', locked, 'flock', lockPath);
    if (wait) return yield* waitForLock(lockPath, fd);

    // A cleaner (systemd-tmpfiles) locks a file for a moment while it looks at its age, and a holder that just died may still be
    // closing its descriptors: with nothing live at the path, it is worth another try.
    const liveness = yield* probe(place);
    // Then it is not known whether the address is held, and a little later it would not be known either.
    if (exhausted.has(liveness)) return refuse('system', liveness as Errno, 'probe', place.path);
    const restMs = restsMs[rest];
    if (liveness !== 'live' && restMs !== undefined) {
      yield* sys.sleep(restMs);
      continue;
    }
    const content = yield* sys.pread(fd, recordBytesMax);
    const record = failed(content) ? undefined : content.text;
    const longerMs = isCleaning(record) ? restsForCleanMs[cleanings++] : undefined;
    if (longerMs !== undefined) {
      yield* sys.sleep(longerMs);
      continue;
    }
    return refuse(liveness === 'live' ? 'held' : 'starting', 'EADDRINUSE', 'flock', lockPath, record);
  }
}

/** No descriptor, or no memory, for a question to the kernel. */
const exhausted: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']);

function* waitForLock(lockPath: string, fd: number): Operation<'locked' | 'replaced' | Refusal> {
  const locked = yield* sys.flock(fd, 'LOCK_EX');
  if (locked === 0) return 'locked';
  if (locked === 'ESTALE') return 'replaced';
  const content = yield* sys.pread(fd, recordBytesMax);
  const record = failed(content) ? undefined : content.text;
  if (locked === 'ECANCELED') return refuse('cancelled', 'EADDRINUSE', 'flock', lockPath, record);
  return refuse('system', locked, 'flock', lockPath, record);
}
