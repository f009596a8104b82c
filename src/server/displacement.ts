import type { FSWatcher } from 'node:fs';
import { throwLater } from '../errors/throwLater.js';
import { clearInterval, setInterval } from '../kernel/clock.js';
import { AT_FDCWD, failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { watchUnreferenced } from '../kernel/runtime.js';
import type { Place } from '../claim/place.js';
import type { Held } from './held.js';

/** The file of a claim that another process has removed or replaced. */
export type Displacement = 'socket' | 'lock';

/**
 * How often to look without an event, in milliseconds: as a safety net below inotify(7), and if it
 * is unavailable.
 */
const lookMs = { watched: 5000, unwatched: 500 } as const;

/**
 * Returns which of our files another process has removed or replaced. The lock file matters more:
 * if it is gone, another process may claim the address as well.
 */
export function displacement(held: Held): Displacement | undefined {
  if (held.place === undefined) return undefined;
  const lock = kernel.fstat(held.lockFd);
  if (!failed(lock) && !isAt(held.place.lockPath, lock)) return 'lock';
  return isAt(held.place.path, held.identity) ? undefined : 'socket';
}

/**
 * Whether the file is at the path. A file that cannot be looked at is not known to be another one.
 */
export function isAt(path: string, file: { readonly dev: bigint; readonly ino: bigint }): boolean {
  const named = kernel.fstatat(AT_FDCWD, path);
  if (failed(named)) return named !== 'ENOENT';
  return named.ino === file.ino && named.dev === file.dev;
}

/**
 * Calls `look` at every event in a directory, and at intervals. Keeps no process alive. Returns a
 * function that stops watching.
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

/**
 * Watches the files of a claim, and reports each displacement: whether it is new, or persists since
 * the last look. Returns a function that stops watching, or undefined for a claim without files.
 */
export function watchHold(hold: Watched, tell: (what: Displacement, isNew: boolean) => void): (() => void) | undefined {
  const { place } = hold;
  if (place === undefined || hold.released) return undefined;
  let before: Displacement | undefined;
  const end = (): void => {
    for (const unwatch of watches) unwatch();
  };
  const look = (): void => {
    if (hold.released) return end();
    const now = displacement(hold.held);
    const isNew = now !== before;
    before = now;
    if (now !== undefined) tell(now, isNew);
  };
  const watches = [...new Set([place.directory.path, place.lock.directory.path])].map((path) => watchDirectory(path, look));
  // A displacement before the watch began has caused no event.
  process.nextTick(look);
  return end;
}

/** The part of a `Hold` that is watched. */
interface Watched {
  readonly place: Place | undefined;
  readonly held: Held;
  readonly released: boolean;
}

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
        // From a listener of `displaced`. It concerns no other claim of the directory.
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
