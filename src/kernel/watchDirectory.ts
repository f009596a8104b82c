import type { FSWatcher } from 'node:fs';
import { clearInterval, setInterval } from './clock.js';
import { AT_FDCWD, failed } from './kernel.js';
import { kernel } from './posix.js';
import { watchUnreferenced } from './runtime.js';
import { throwLater } from './throwLater.js';

/**
 * How often to look without an event, in milliseconds: as a safety net below inotify(7), and if it
 * is unavailable.
 */
const lookMs = { watched: 5000, unwatched: 500 } as const;

/**
 * Calls `look` at every event in a directory, and at intervals. Keeps no process alive. Returns a
 * function that stops watching. An exception of `look` is an uncaught one, and concerns no other.
 *
 * It watches the directory instead of the file, because a watch on a file ends with the file. All
 * watchers of one directory share one inotify(7) watch.
 */
export function watchDirectory(path: string, look: () => void): () => void {
  const directory = watched.get(path) ?? new WatchedDirectory(path);
  watched.set(path, directory);
  directory.lookers.add(look);
  return () => {
    directory.lookers.delete(look);
    if (directory.lookers.size > 0 || watched.get(path) !== directory) return;
    watched.delete(path);
    directory.close();
  };
}

const watched = new Map<string, WatchedDirectory>();

class WatchedDirectory {
  readonly lookers = new Set<() => void>();
  readonly #path: string;
  /** The directory whose events arrive. Undefined: there is none at the path. */
  #inode: bigint | undefined;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#watch();
  }

  #watch(): void {
    this.#inode = this.#inodeNow();
    if (this.#inode === undefined) return this.#unwatched();
    this.#lookEvery(lookMs.watched);
    try {
      this.#watcher = watchUnreferenced(this.#path, () => this.#look());
      this.#watcher.on('error', () => this.#unwatched());
    } catch {
      this.#unwatched(); // EMFILE, ENOSPC: this user has no more instances or watches. EACCES: the directory is not readable.
    }
  }

  #unwatched(): void {
    this.#watcher?.close();
    this.#lookEvery(lookMs.unwatched);
  }

  #lookEvery(milliseconds: number): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#look(), milliseconds).unref();
  }

  #look(): void {
    // A directory that was removed and created again is another one, and the old one has no more
    // events.
    if (this.#inodeNow() !== this.#inode) {
      this.#watcher?.close();
      this.#watch();
    }
    for (const look of this.lookers) {
      try {
        look();
      } catch (error) {
        throwLater(error);
      }
    }
  }

  #inodeNow(): bigint | undefined {
    const directory = kernel.fstatat(AT_FDCWD, this.#path);
    return failed(directory) ? undefined : directory.ino;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watcher?.close();
  }
}
