import { placeOf, type Place } from '../claim/locate.js';
import { isRefusal } from '../claim/refusal.js';
import { AT_FDCWD, failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/**
 * The place of a socket file in a real directory, with the lock file that guards it: mostly its own. The socket on which a holder
 * serves hand-overs (`app.sock.handover`), and a name that an interrupted start has set aside, are guarded by that of `app.sock`.
 *
 * Undefined: a name that is too long for an address. Nobody has claimed it, nor can.
 */
export function guardedPlace(directory: string, name: string): Place | undefined {
  const place = placeOf(directory, name, undefined, process.platform);
  if (isRefusal(place)) return undefined;
  const owner = ownerOf(name);
  // Of most names there is no question.
  if (owner === name || exists(place.lockPath)) return place;
  const guard = placeOf(directory, owner, undefined, process.platform);
  return !isRefusal(guard) && exists(guard.lockPath) ? { ...place, lockPath: guard.lockPath } : place;
}

function ownerOf(name: string): string {
  return name.replace(/^\.(.+)\.reuseaddr-aside$/, '$1').replace(/(.)\.handover$/, '$1');
}

function exists(path: string): boolean {
  return !failed(kernel.fstatat(AT_FDCWD, path));
}
