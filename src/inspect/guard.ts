import { ownerOf } from '../address/names.js';
import { placeIn, type Directory, type Named, type Place } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/** The place of a socket file, and those by whose locks it is guarded. */
export interface Guarded {
  readonly place: Place;
  readonly guards: readonly [Place, ...Place[]];
}

/**
 * The place of a socket file in a pinned directory, and the places whose locks guard it: mostly itself alone. The socket on which a holder
 * serves handovers (`app.sock.handover`), and a name that an interrupted start has set aside, are guarded by the lock of `app.sock`; but
 * another program may listen at a name like that.
 *
 * Undefined: a name that is too long for an address. No process has claimed it, nor can.
 */
export function placeAndGuards(directory: Directory, name: string): Guarded | undefined {
  const place = placeIn({ directory, name });
  if (isRefusal(place)) return undefined;
  const owner = ownerOf(name);
  const guard = owner === name ? place : placeIn({ directory, name: owner });
  return guard === place || isRefusal(guard) ? { place, guards: [place] } : { place, guards: [guard, place] };
}

/**
 * Returns the place of a socket file in a pinned directory, with the lock file that guards it.
 *
 * Most sockets have a lock file of their own. The lock file of `app.sock` also guards
 * `app.sock.handover` (the socket on which its holder serves handovers), and each name that an
 * interrupted start has set aside. Returns undefined if the name is too long for an address: no
 * process can claim it.
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
