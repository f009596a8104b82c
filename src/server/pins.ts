import { directoriesOf, type Directory, type Place } from '../claim/place.js';
import { failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/**
 * The directories in which this thread holds addresses, by their paths: one descriptor each, for
 * any number of addresses.
 */
const shared = new Map<string, Directory>();

/**
 * How many holds, and unfinished attempts, use a directory that some hold uses. Any other directory
 * belongs to its attempt alone.
 */
const users = new Map<Directory, number>();

/**
 * Returns the place of an address that is held from now on, with the descriptors that all holds
 * share. It ends with `unpin`.
 */
export function sharePins(place: Place): Place {
  const directory = sharePin(place.directory);
  try {
    return rebase(place, directory, place.lock.directory === place.directory ? directory : sharePin(place.lock.directory));
  } catch (error) {
    unpinDirectory(directory);
    throw error;
  }
}

/** Ends the use of a place by a hold or an attempt. */
export function unpin(place: Place): void {
  for (const directory of directoriesOf(place)) unpinDirectory(directory);
}

function unpinDirectory(directory: Directory): void {
  const others = (users.get(directory) ?? 1) - 1;
  users.set(directory, others);
  if (others > 0) return;
  users.delete(directory);
  if (shared.get(directory.path) === directory) shared.delete(directory.path);
  try {
    kernel.close(directory.fd);
  } catch {
    // The attempt is over, and its claim may be held already. An exception here would lose the
    // claim: its caller would have nothing to release. The descriptor only names a directory.
  }
}

function sharePin(directory: Directory): Directory {
  const known = shared.get(directory.path);
  const kept = known !== undefined && isSame(known, directory) ? known : directory;
  shared.set(directory.path, kept);
  users.set(kept, (users.get(kept) ?? 1) + 1);
  return kept;
}

/** Another directory may have had this path. */
function isSame(one: Directory, other: Directory): boolean {
  const [first, second] = [kernel.fstat(one.fd), kernel.fstat(other.fd)];
  return !failed(first) && !failed(second) && first.dev === second.dev && first.ino === second.ino;
}

function rebase(place: Place, directory: Directory, lockDirectory: Directory): Place {
  if (directory === place.directory && lockDirectory === place.lock.directory) return place;
  const handover = place.handover && rebase(place.handover, directory, lockDirectory);
  const lock = { ...place.lock, directory: lockDirectory };
  return { ...place, directory, aside: { ...place.aside, directory }, lock, handover };
}
