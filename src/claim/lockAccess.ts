import { failed, sys, type Errno, type FileStatus, type Operation } from '../kernel/kernel.js';

/**
 * The mode of a lock file: for its owner, and sticky, because systemd-tmpfiles(8) never removes a
 * sticky file by its age.
 */
export const lockMode = 0o1600;

const sticky = 0o1000;
const writableByOthers = 0o022;

/**
 * Whether several users have files in the directory, and none may replace those of another, as in
 * /tmp. The owner of a lock file can then do more than other users.
 */
export function isSharedSticky({ mode }: FileStatus): boolean {
  return (mode & sticky) !== 0 && (mode & writableByOthers) !== 0;
}

/** Whether a claim made this lock file. Only such a file is ever given away, or cleaned up. */
export function madeByClaim({ mode }: FileStatus): boolean {
  return (mode & sticky) !== 0;
}

/**
 * Gives a lock file the owner and mode that follow from its directory: a process that may replace
 * files there may lock, and no other. Such a process could exchange the lock file anyway, so it
 * gains nothing. In a sticky directory of several users, a lock file stays its owner's.
 *
 * Only root and the owner of the file can do this, and it is done at each start, because the mode
 * of the directory may have changed. A failure is not a reason to fail, except for `clean`: returns
 * the errno if the file could not be given to the directory's owner.
 */
export function* followDirectory(fd: number, file: FileStatus, directory: FileStatus): Operation<0 | Errno> {
  const user = yield* sys.geteuid();
  if (user !== 0 && user !== file.uid) return 0;
  if (!madeByClaim(file)) {
    // It might be a private one that another user moved here, so its group
    // is not let in. Only a umask that denied the owner is corrected.
    if ((file.mode & 0o600) !== 0o600 && user === file.uid) yield* sys.fchmod(fd, lockMode);
    return 0;
  }
  const shared = isSharedSticky(directory);
  const wanted = shared ? lockMode : modeIn(directory);
  const uid = user === 0 && !shared ? directory.uid : file.uid;
  const gid = wanted === lockMode && uid === file.uid ? file.gid : directory.gid;
  let mode = wanted;
  let given: 0 | Errno = 0;
  if (uid !== file.uid || gid !== file.gid) {
    given = yield* sys.fchownat(fd, '', uid === file.uid ? -1 : uid, gid);
    // Only a member of the group may give a file to it. The file's own group must not be let in.
    if (failed(given)) mode = wanted === everyone ? everyone : lockMode;
  }
  if ((file.mode & 0o7777) !== mode) yield* sys.fchmod(fd, mode);
  return uid === file.uid ? 0 : given;
}

const everyone = lockMode | 0o066;

/** Replacing a file takes the permissions to write to its directory and to search it. */
function modeIn({ mode }: FileStatus): number {
  const group = (mode & 0o030) === 0o030 ? 0o060 : 0;
  const others = (mode & 0o003) === 0o003 ? 0o006 : 0;
  return lockMode | group | others;
}
