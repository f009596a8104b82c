import { ownerOf } from '../address/names.js';
import { placeIn, type Directory, type Named, type Place } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/** The place of a socket file, and the places whose locks guard it. */
export interface Guarded {
  readonly place: Place;
  readonly guards: readonly [Place, ...Place[]];
}

/**
 * Returns the place of a socket file in a pinned directory, and the places whose locks guard it.
 *
 * Most sockets are guarded by their own lock alone. The lock of `app.sock` also guards
 * `app.sock.handover` (the socket on which its holder serves handovers), and each name that an
 * interrupted start has set aside. Another program may listen at such a name, so its own lock
 * counts too. Returns undefined if the name is too long for an address: no process can claim it.
 */
export function placeAndGuards(directory: Directory, name: string): Guarded | undefined {
  const place = placeIn({ directory, name });
  if (isRefusal(place)) return undefined;
  const owner = ownerOf(name);
  const guard = owner === name ? place : placeIn({ directory, name: owner });
  return guard === place || isRefusal(guard) ? { place, guards: [place] } : { place, guards: [guard, place] };
}

/**
 * Returns the place of a socket file in a pinned directory, with the lock file that guards it now.
 * Returns undefined if the name is too long for an address.
 */
export function guardedPlace(directory: Directory, name: string): Place | undefined {
  const place = placeIn({ directory, name });
  if (isRefusal(place)) return undefined;
  const owner = ownerOf(name);
  // Fast path: most names belong to no other socket.
  if (owner === name || exists(place.lock)) return place;
  const guard = placeIn({ directory, name: owner });
  return !isRefusal(guard) && exists(guard.lock) ? { ...place, lock: guard.lock, lockPath: guard.lockPath } : place;
}

function exists({ directory, name }: Named): boolean {
  return !failed(kernel.fstatat(directory.fd, name));
}
