import { watch, type FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';

import { clearInterval, setInterval } from './clock.js';
import { AT_FDCWD, failed } from './kernel.js';
import { kernel } from './posix.js';

/** Events of the directory tell at once. This is for what they don't tell: a directory above was renamed, a network file system. */
const checkMs = 5000;

/** Without events: there are no inotify instances left (EMFILE, a user has 128), or the directory may not be read (EACCES). */
const checkWithoutEventsMs = 1000;

/**
 * Tells when the file at the path is no longer the one that the descriptor has open: somebody removed it, or replaced it. It may
 * tell so before it returns. Keeps no process alive.
 *
 * A standby sleeps on a lock file. If a cleaner removes that, others make a new one, and nobody would ever wake the standby.
 *
 * @returns what ends the watching
 */
export function watchLockFile(path: string, fd: number, gone: () => void): () => void {
  const opened = kernel.fstat(fd);
  if (failed(opened)) return () => undefined;
  let watcher: FSWatcher | undefined;
  let timer: NodeJS.Timeout | undefined;

  const stop = () => {
    watcher?.close();
    clearInterval(timer);
  };
  const check = () => {
    const named = kernel.fstatat(AT_FDCWD, path);
    // Any other failure (EACCES, EIO) doesn't say that the file has gone.
    if (failed(named) ? named !== 'ENOENT' && named !== 'ENOTDIR' : named.dev === opened.dev && named.ino === opened.ino) return;
    stop();
    gone();
  };
  const checkEvery = (milliseconds: number) => {
    clearInterval(timer);
    timer = setInterval(check, milliseconds).unref();
  };

  checkEvery(checkMs);
  try {
    const name = basename(path);
    watcher = watch(dirname(path), { persistent: false }, (_event, changed) => {
      if (changed === null || changed === name) check();
    });
    watcher.on('error', () => {
      watcher?.close();
      checkEvery(checkWithoutEventsMs);
    });
  } catch {
    checkEvery(checkWithoutEventsMs);
  }
  // Whoever removed it before we watched has caused no event.
  check();
  return stop;
}
