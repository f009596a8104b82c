import { watch, type FSWatcher } from 'node:fs';
import { clearInterval, setInterval } from '../kernel/clock.js';
import { AT_FDCWD, failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Held } from './hold.js';

/** Which file of a claim another process has removed or replaced. */
export type Displacement = 'socket' | 'lock';

/** How often we look without being told, in milliseconds: as a net below inotify(7), and where there is none to be had. */
const lookMs = { watched: 5000, unwatched: 500 } as const;

/**
 * Which of our files somebody has removed or replaced. The lock file counts more: where it is gone, another process may claim the
 * address beside us.
 */
export function displacement(held: Held): Displacement | undefined {
  if (held.place === undefined) return undefined;
  const lock = kernel.fstat(held.lockFd);
  if (!failed(lock) && !isAt(held.place.lockPath, lock)) return 'lock';
  return isAt(held.place.path, held.identity) ? undefined : 'socket';
}

/** A file that can't be looked at is not known to be another. */
function isAt(path: string, file: { readonly dev: bigint; readonly ino: bigint }): boolean {
  const named = kernel.fstatat(AT_FDCWD, path);
  if (failed(named)) return named !== 'ENOENT';
  return named.ino === file.ino && named.dev === file.dev;
}

/**
 * Calls `look` whenever something happens in a directory, and now and then besides. Keeps no process alive. Gives what ends it.
 *
 * The directory is watched and not the file: a watch on a file ends with it. All who watch one directory share one inotify(7)
 * instance, of which a user has 128.
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
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string) {
    this.#lookEvery(lookMs.watched);
    try {
      this.#watcher = watch(path, { persistent: false }, () => this.#look());
      this.#watcher.on('error', () => this.#unwatched());
    } catch {
      this.#unwatched(); // EMFILE, ENOSPC: no more instances or watches for this user. EACCES: it may not be read.
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
    for (const look of this.lookers) look();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watcher?.close();
  }
}
