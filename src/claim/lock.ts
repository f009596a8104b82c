import { failed, sys, type Errno, type FileStatus, type Operation } from '../kernel/kernel.js';
import { followDirectory, isSharedSticky, lockMode } from './lockAccess.js';
import type { Named, Place } from './place.js';
import { probe } from './probe.js';
import { isCleaning, isRecord, recordBytesMax } from './record.js';
import { isRefusal, refuse, type Refusal } from './refusal.js';

/**
 * How often another process may remove or replace a file under our hands before the start fails.
 */
export const attemptsMax = 16;

/**
 * The pauses before further attempts, in milliseconds, if an answer may be temporary: 3.1 ms in
 * all.
 */
export const restsMs = [0.1, 0.2, 0.4, 0.8, 1.6] as const;

/**
 * The further pauses of a start if `clean` has the lock: half a second in all. `clean` removes one
 * socket under it, within microseconds, but a busy machine may stop it in the middle. That must not
 * make a start fail.
 */
export const restsForCleanMs = [5, 50, 500] as const;

/** An open lock file. */
export interface LockFile {
  readonly lockFd: number;
  /** Whether this process created it. */
  readonly made: boolean;
}

/** How to create a lock file, and whose file to accept. */
export interface LockTerms {
  /**
   * Whether the address is to be claimed. If so, the file at the path is inspected before a lock
   * file is created.
   */
  readonly claims: boolean;
  /** Creates a lock file if there is none. `EEXIST`: there is one now. */
  readonly create: (place: Place) => Operation<LockFile | Errno | Refusal>;
  /** A user whose lock file is accepted in addition to those that `isTrusted` names. */
  readonly trusted?: number;
}

export const termsOfStart: LockTerms = { claims: true, create: createLockFile };

/** For a process that wants the lock of a file that exists, and creates none. */
export const termsOfExisting: LockTerms = {
  claims: false,
  *create({ lockPath }) {
    return refuse('system', 'ENOENT', 'open', lockPath);
  },
};

/**
 * The steps "open" to "compare". Returns the descriptor that holds the lock.
 *
 * With `wait`, waits in flock(2) while another process holds the lock.
 */
export function* lock(place: Place, wait: boolean): Operation<number | Refusal> {
  const locked = yield* lockFile(place, wait, termsOfStart);
  return isRefusal(locked) ? locked : locked.lockFd;
}

/** Does the same for a process that does not want the address. */
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

/** The steps "examine" to "compare" on an open lock file. */
function* lockDescriptor(place: Place, fd: number, wait: boolean, terms: LockTerms): Operation<'locked' | 'replaced' | Refusal> {
  const { lockPath } = place;
  const opened = yield* sys.fstat(fd);
  if (failed(opened)) return refuse('system', opened, 'fstat', lockPath);
  const unfit = yield* examine(place, fd, opened, terms);
  if (unfit !== 'fit') return unfit;

  const locked = yield* flock(place, fd, wait);
  if (locked !== 'locked') return locked;

  // The step "compare", after flock(2): another process may have unlinked the file between our
  // open(2) and our flock(2). We would then hold a lock that no other process can see. Our
  // descriptor pins the inode, so no other file can have its number.
  const named = yield* sys.fstatat(place.lock.directory.fd, place.lock.name);
  if (named === 'ENOENT') return 'replaced';
  if (failed(named)) return refuse('system', named, 'lstat', lockPath);
  if (named.ino !== opened.ino || named.dev !== opened.dev) return 'replaced';
  return 'locked';
}

/**
 * The step "open". O_NOFOLLOW refuses a symlink. O_NONBLOCK never blocks on a FIFO. O_RDWR is what
 * flock(2) over NFS needs.
 */
function* openLockFile(place: Place, { claims, create }: LockTerms): Operation<LockFile | Refusal> {
  const { lock: file, lockPath } = place;
  let rests = 0;
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    // First without O_CREAT: with fs.protected_regular, O_CREAT fails on another user's file in a
    // sticky directory.
    const fd = yield* sys.openat(file.directory.fd, file.name, 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
    if (!failed(fd)) return { lockFd: fd, made: false };
    if (fd === 'EACCES' && (yield* mendLockMode(file))) continue;
    if (fd !== 'ENOENT') return yield* explainOpen(place, fd);
    const refusal = claims ? yield* look(place) : undefined;
    const restMs = refusal?.refused === 'stray' ? restsMs[rests++] : undefined;
    if (refusal !== undefined && restMs === undefined) return refusal;
    if (restMs !== undefined) {
      // A holder may have created the file and listened since the last look; and a killed one may
      // still be closing its socket.
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
 * The step "look", before a lock file is created: a start that is refused anyway leaves nothing
 * behind. `removeIf` decides again, under the lock.
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
 * Removes a lock file that this process has locked, and closes it.
 *
 * This is sound because it is the last action at the address, and because each process compares the
 * inodes after it has locked a file. A start that has opened our file gets its lock when we close
 * it, sees that the file has no name any more, and begins again. A later start creates another
 * file. No holder has our file, because a holder would have its lock.
 */
export function* removeAndUnlock(place: Place, fd: number): Operation<void> {
  try {
    yield* unlinkLocked(place, fd);
  } finally {
    yield* sys.close(fd);
  }
}

/**
 * Does the same at the exit of the process, which unlocks. A lock file that replaced ours stays.
 */
export function* unlinkLocked({ lock: { directory, name } }: Place, fd: number): Operation<0 | Errno> {
  const [ours, named] = [yield* sys.fstat(fd), yield* sys.fstatat(directory.fd, name)];
  if (failed(ours)) return ours;
  if (failed(named)) return named;
  return ours.ino === named.ino && ours.dev === named.dev ? yield* sys.unlinkat(directory.fd, name) : 'ENOENT';
}

/** Explains why the lock file cannot be opened. */
function* explainOpen({ lock: file, lockPath }: Place, errno: Errno): Operation<Refusal> {
  const there = yield* sys.fstatat(file.directory.fd, file.name);
  if (!failed(there) && there.type === 'symlink') return refuse('lock-is-symlink', errno, 'open', lockPath);
  if (!failed(there) && there.type !== 'file') return refuse('lock-not-a-file', errno, 'open', lockPath);
  const denied = !failed(there) && (errno === 'EACCES' || errno === 'EPERM');
  return refuse(denied ? 'lock-denied' : 'system', errno, 'open', lockPath);
}

/**
 * The step "examine": whether we may lock this file and write our record into it. Nothing is
 * changed before that is certain.
 */
function* examine(place: Place, fd: number, status: FileStatus, { trusted }: LockTerms): Operation<'fit' | 'replaced' | Refusal> {
  const { lockPath } = place;
  if (status.type !== 'file') return refuse('lock-not-a-file', 'EEXIST', 'fstat', lockPath);
  if (status.nlink === 0) return 'replaced';
  // The second name may belong to any program, and our record would be written into its file.
  if (status.nlink > 1) return refuse('lock-has-links', 'EEXIST', 'fstat', lockPath);
  const directory = yield* sys.fstat(place.lock.directory.fd);
  if (failed(directory)) return refuse('system', directory, 'fstat', place.lock.directory.path);
  if (status.uid !== trusted && !(yield* isTrusted(status, directory)))
    return refuse('lock-foreign-owner', 'EACCES', 'fstat', lockPath);
  if (status.size > 0) {
    const content = yield* sys.pread(fd, recordBytesMax);
    if (failed(content)) return refuse('system', content, 'pread', lockPath);
    if (!isRecord(content.text)) return refuse('lock-foreign-content', 'EEXIST', 'pread', lockPath);
  }
  yield* followDirectory(fd, status, directory);
  return 'fit';
}

/**
 * Whether the owner of a lock file is trusted. The owner may remove the file while it is locked,
 * even in a sticky directory. So it must be a user who could do worse anyway: this user, root, the
 * owner of the directory, or any user if the directory lets each of its writers replace files.
 */
function* isTrusted({ uid }: FileStatus, directory: FileStatus): Operation<boolean> {
  if (uid === 0 || uid === directory.uid || !isSharedSticky(directory)) return true;
  return uid === (yield* sys.geteuid());
}

/**
 * Repairs the mode of a lock file that its owner cannot open: the result of a crash between open(2)
 * and fchmod(2) under a umask that denies the owner.
 */
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

/** The step "lock". */
function* flock(place: Place, fd: number, wait: boolean): Operation<'locked' | 'replaced' | Refusal> {
  const { lockPath } = place;
  let cleanings = 0;
  for (let rest = 0; ; rest++) {
    const locked = yield* sys.flock(fd, 'LOCK_EX|LOCK_NB');
    if (locked === 0) return 'locked';
    // Any other errno (ENOLCK, EOPNOTSUPP, …) means that locking does not work here, never that
    // another process holds the lock.
    if (locked !== 'EAGAIN') return refuse('system', locked, 'flock', lockPath);
    if (wait) return yield* waitForLock(lockPath, fd);

    // A cleaner (systemd-tmpfiles) locks a file for a moment to read its age, and a holder that
    // just died may still be closing its descriptors. If nothing at the path is live, another
    // attempt is worthwhile.
    const liveness = yield* probe(place);
    // Whether the address is held is unknown, and would be just as unknown a little later.
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

/** The kernel had no descriptor, or no memory, for the question. */
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
