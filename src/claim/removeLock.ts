import { guardedNames, namesOf } from '../address/names.js';
import { failed, sys, type Errno, type Operation } from '../kernel/kernel.js';
import { writeRecord } from './acquire.js';
import { lockFile, termsOfExisting, unlinkLocked } from './lock.js';
import { madeByClaim } from './lockAccess.js';
import type { Place } from './place.js';
import { isRecord, recordBytesMax } from './record.js';
import { isRefusal, refuse, type Refusal } from './refusal.js';
import { eraseAndUnlock } from './release.js';

/** The outcome for a lock file. `kept`: it stays, and that is right. */
export type LockRemoved =
  | { readonly outcome: 'removed' | 'gone' }
  | { readonly outcome: 'kept'; readonly why: 'not-a-lock-file' | 'guards-a-file' | 'locked' };

/**
 * Whether a lock file may go, as far as it can be seen without the lock: a claim made it, and none
 * of the files that it would guard is there.
 *
 * Its sticky bit tells that a claim made it. Its content alone does not: other programs have empty
 * lock files.
 *
 * @param absent whether to take a file of this name for absent
 */
export function* judgeLock(
  place: Place,
  absent: (name: string) => boolean = () => false,
): Operation<'proved' | LockRemoved | Refusal> {
  const { directory, name } = place.lock;
  const there = yield* sys.fstatat(directory.fd, name);
  if (there === 'ENOENT') return { outcome: 'gone' };
  if (failed(there)) return refuse('system', there, 'lstat', place.lockPath);
  if (there.type !== 'file' || there.nlink !== 1 || !madeByClaim(there)) return { outcome: 'kept', why: 'not-a-lock-file' };
  for (const guarded of guardedNames(namesOf(place.name))) {
    if (absent(guarded)) continue;
    const file = yield* sys.fstatat(place.directory.fd, guarded);
    if (!failed(file)) return { outcome: 'kept', why: 'guards-a-file' };
    if (file !== 'ENOENT') return refuse('system', file, 'lstat', place.path);
  }
  const content = yield* contentOf(place);
  if (content === 'ENOENT') return { outcome: 'gone' };
  if (content === 'EACCES') return refuse('lock-denied', content, 'open', place.lockPath);
  if (failed(content)) return refuse('system', content, 'open', place.lockPath);
  return isRecord(content.text) ? 'proved' : { outcome: 'kept', why: 'not-a-lock-file' };
}

function* contentOf({ lock: { directory, name } }: Place): Operation<{ readonly text: string } | Errno> {
  const fd = yield* sys.openat(directory.fd, name, 'O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
  if (failed(fd)) return fd;
  const content = yield* sys.pread(fd, recordBytesMax);
  yield* sys.close(fd);
  return content;
}

/**
 * Removes a lock file that no process holds, and that guards no file, for a process that does not
 * want the address.
 *
 * It does so under the lock, as the last step there, like a claim that removes its own lock file. A
 * start that has opened the file meanwhile compares the inodes after its flock(2), and begins
 * again.
 *
 * @param record the content of the file in the meantime: `cleaningRecord`
 */
export function* removeLock(place: Place, record: string): Operation<LockRemoved | Refusal> {
  // First without the lock: locking a live address could make a start fail.
  const first = yield* judgeLock(place);
  if (first !== 'proved') return first;
  const locked = yield* lockFile(place, false, termsOfExisting);
  if (isRefusal(locked)) return refusedLock(locked);
  const { lockFd } = locked;
  yield* writeRecord(lockFd, record);
  const second = yield* judgeLock(place);
  const removed = second === 'proved' ? yield* unlinkLocked(place, lockFd) : undefined;
  if (removed === 0) {
    yield* sys.close(lockFd);
    return { outcome: 'removed' };
  }
  yield* eraseAndUnlock({ lockFd });
  if (second !== 'proved') return second;
  return removed === 'ENOENT' ? { outcome: 'gone' } : refuse('system', removed ?? 'EIO', 'unlink', place.lockPath);
}

function refusedLock(refusal: Refusal): LockRemoved | Refusal {
  const { refused, errno } = refusal;
  if (refused === 'held' || refused === 'starting') return { outcome: 'kept', why: 'locked' };
  return errno === 'ENOENT' ? { outcome: 'gone' } : refusal;
}
