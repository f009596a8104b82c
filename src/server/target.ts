import { directoriesOf, resolve, type Directory, type Place, type Target } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { explain } from '../errors/explain.js';
import { failed, run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Request } from '../request/options.js';

/**
 * Resolves the address of a request, for one attempt. The attempt closes the target at its end; a
 * hold keeps the parts that it needs.
 *
 * @throws {SocketAddressError} there is no such directory, or a name is too long
 */
export function resolveRequest({ text, address, handover }: Request): Target {
  const target = run(kernel, resolve(address, handover));
  if (isRefusal(target)) throw explain(text, target);
  return target;
}

/** Makes one attempt: resolves the address, and closes what that opened. */
export async function attempt<Outcome>(request: Request, make: (target: Target) => Promise<Outcome>): Promise<Outcome> {
  const target = resolveRequest(request);
  try {
    return await make(target);
  } finally {
    closeTarget(target);
  }
}

/** Closes the target at the end of its attempt. */
export function closeTarget(target: Target): void {
  if (!('abstract' in target)) letGo(target.place);
}

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
 * share. It ends with `letGo`.
 */
export function keep(place: Place): Place {
  const directory = keepDirectory(place.directory);
  try {
    return rebase(place, directory, place.lock.directory === place.directory ? directory : keepDirectory(place.lock.directory));
  } catch (error) {
    drop(directory);
    throw error;
  }
}

/** Ends the use of a place by a hold or an attempt. */
export function letGo(place: Place): void {
  for (const directory of directoriesOf(place)) drop(directory);
}

function drop(directory: Directory): void {
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

function keepDirectory(directory: Directory): Directory {
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
