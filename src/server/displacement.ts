import { AT_FDCWD, failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { watchDirectory } from '../kernel/watchDirectory.js';
import type { Place } from '../claim/place.js';
import type { Held } from './held.js';

/** The file of a claim that another process has removed or replaced. */
export type Displacement = 'socket' | 'lock';

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
