import type { FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';

import { clearInterval, setInterval } from './clock.js';
import { AT_FDCWD, failed } from './kernel.js';
import { kernel } from './posix.js';
import { watchUnreferenced } from './runtime.js';

/**
 * Events of the directory arrive at once. This interval is for changes without an event: a
 * directory above was renamed, or a network file system.
 */
const checkMs = 5000;

/**
 * The interval if events are unavailable: the user has used up the inotify instances (EMFILE) or
 * watches (ENOSPC), or may not read the directory (EACCES).
 */
const checkWithoutEventsMs = 1000;

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
  let watcher: FSWatcher | undefined;
  let timer: NodeJS.Timeout | undefined;

  const stop = () => {
    watcher?.close();
    clearInterval(timer);
  };
  const check = () => {
    const named = kernel.fstatat(AT_FDCWD, path);
    // Any other failure (EACCES, EIO) does not mean that the file is gone.
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
    watcher = watchUnreferenced(dirname(path), (changed) => {
      if (changed === null || changed === name) check();
    });
    watcher.on('error', () => {
      watcher?.close();
      checkEvery(checkWithoutEventsMs);
    });
  } catch {
    checkEvery(checkWithoutEventsMs);
  }
  // A removal before the watch began has caused no event.
  check();
  return stop;
}
