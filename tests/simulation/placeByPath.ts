import { namesOf } from '#dist/address/names.js';
import { unpinned, type Named, type Place } from '#dist/claim/place.js';

/** The place of a name by its paths alone, for a simulated kernel whose directory nothing moves. */
export function placeByPath(directory: string, name: string): Place {
  const names = namesOf(name);
  const at = (each: string): Named => unpinned(`${directory}/${each}`);
  const lock = at(names.lock);
  const spell = (socket: string, aside: string): Place => ({
    ...at(socket),
    path: at(socket).name,
    aside: at(aside),
    asidePath: at(aside).name,
    lock,
    lockPath: lock.name,
    long: false,
  });
  return { ...spell(names.socket, names.aside), handover: spell(names.handover, names.handoverAside) };
}
