import type { PathnameClaim } from '../claim/acquire.js';
import type { Place } from '../claim/place.js';
import { removeSocketFile } from '../claim/release.js';
import { isDead, removeIf } from '../claim/removeIf.js';
import { Descriptor } from '../kernel/descriptor.js';
import { run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { sharePins } from './pins.js';
import type { Supervisor } from './supervisor.js';

/** A claim on a pathname, and its place. */
export interface PathnameHold extends PathnameClaim {
  readonly place: Place;
}

/**
 * A claim that needs no lock of ours: an abstract name, or a socket whose claim the parent process
 * holds.
 */
interface SocketHold {
  readonly listenFd: number;
  readonly inherited?: boolean;
  /** The `reuseaddr run` that has passed the socket on request. */
  readonly supervisor?: Supervisor | undefined;
  readonly place?: undefined;
}

export type Held = PathnameHold | SocketHold;

/**
 * Returns a claim that was just made, with the directories that all holds share. If that throws,
 * its descriptors are closed, except for the socket `before`: it is left as by a crash.
 */
export function withSharedPins(held: Held, before?: Descriptor): Held {
  if (held.place === undefined) return held;
  try {
    return { ...held, place: sharePins(held.place) };
  } catch (error) {
    const socket = Descriptor.at(held.listenFd);
    if (socket !== before) socket?.close();
    kernel.close(held.lockFd);
    throw error;
  }
}

/** Removes the socket file of a claim from its directory. */
export function removeSocket(held: PathnameHold, socket: Descriptor | undefined): void {
  // The program that was given the descriptor may have closed it. Then the inode of our file is no
  // longer pinned, and its number proves nothing. But under the lock, any dead socket at the path
  // may be removed.
  run(kernel, socket?.isOpen === true ? removeSocketFile(held.place, held) : removeIf(held.place, isDead));
}
