import { dirname } from 'node:path';
import { AT_FDCWD, failed } from './kernel.js';
import { kernel } from './posix.js';
import { watchDirectory } from './watchDirectory.js';

/**
 * Calls `gone` when the file at the path is no longer the one that the descriptor has open, because
 * another process removed or replaced it. It may do so before it returns. Keeps no process alive.
 *
 * A standby sleeps on a lock file. If a cleaner removes the file, other processes create a new one,
 * and nothing would ever wake the standby.
 *
 * @returns a function that stops watching
 */
export function watchLockFile(path: string, fd: number, gone: () => void): () => void {
  const opened = kernel.fstat(fd);
  if (failed(opened)) return () => undefined;
  const check = (): void => {
    const named = kernel.fstatat(AT_FDCWD, path);
    // Any other failure (EACCES, EIO) does not mean that the file is gone.
    if (failed(named) ? named !== 'ENOENT' && named !== 'ENOTDIR' : named.dev === opened.dev && named.ino === opened.ino) return;
    stop();
    gone();
  };
  const stop = watchDirectory(dirname(path), check);
  // A removal before the watch began has caused no event.
  try {
    check();
    return stop;
  } catch (error) {
    stop();
    throw error;
  }
}
