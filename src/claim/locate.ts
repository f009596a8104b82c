import { fits, pathBytesMax, type Pathname } from '../address/address.js';
import { failed, sys, type Operation } from '../kernel/kernel.js';
import { isRefusal, refuse, type Refusal } from './refusal.js';

/** A pathname made absolute, and the names that belong to it. One address has one place, however it was spelt. */
export interface Place {
  /** The socket file. */
  readonly path: string;
  /** The real path of its directory. */
  readonly directory: string;
  /** The lock file: created once, never unlinked. */
  readonly lockPath: string;
  /** Where a name is put while it is judged (`take.ts`), so that no newcomer can come between the proof and the unlink. */
  readonly asidePath: string;
  /** Whether the path is too long for sun_path, and is bound through a descriptor of its directory. */
  readonly long: boolean;
}

/** `/proc/self/fd/1234567/`: what a long path costs in sun_path instead of its directory. */
const descriptorPathBytesMax = 22;

/**
 * Makes a pathname absolute, through the real path of its directory: a later chdir(2) changes nothing, and `/var/run/x` and
 * `/run/x` are one address. Refuses what could not be bound, before anything is created.
 */
export function* locate(address: Pathname, platform: string): Operation<Place | Refusal> {
  const socket = yield* inRealDirectory(address.path);
  if ('refused' in socket) return socket;
  const lock = address.lockPath === undefined ? undefined : yield* inRealDirectory(address.lockPath);
  if (lock !== undefined && 'refused' in lock) return lock;

  const lockPath = lock === undefined ? undefined : join(lock.directory, lock.name);
  const place = placeOf(socket.directory, socket.name, lockPath, platform);
  // The names beside the address are ours: a lock file there would be in the way of the socket itself.
  const taken = isRefusal(place) ? [] : [place.path, place.asidePath, `${place.path}.handover`];
  return lockPath !== undefined && taken.includes(lockPath) ? refuse('lock-is-address', 'EINVAL', 'open', lockPath) : place;
}

/** The place of a name in a real directory. */
export function placeOf(directory: string, name: string, lockPath: string | undefined, platform: string): Place | Refusal {
  const path = join(directory, name);
  const bytesMax = platform === 'linux' ? pathBytesMax.linux : pathBytesMax.other;
  const nameBytesMax = platform === 'linux' ? pathBytesMax.linux - descriptorPathBytesMax : 0;
  const long = !fits(path, bytesMax);
  if (long && !fits(name, nameBytesMax)) return refuse('too-long', 'ENAMETOOLONG', 'bind', path);
  return { path, directory, lockPath: lockPath ?? `${path}.lock`, asidePath: join(directory, `.${name}.reuseaddr-aside`), long };
}

function* inRealDirectory(path: string): Operation<{ directory: string; name: string } | Refusal> {
  const slash = path.lastIndexOf('/');
  const given = slash < 0 ? '.' : path.slice(0, slash + 1);
  const real = yield* sys.realpath(given);
  if (!failed(real)) return { directory: real.path, name: path.slice(slash + 1) };
  return refuse(real === 'ENOENT' || real === 'ENOTDIR' ? 'no-directory' : 'system', real, 'realpath', given);
}

function join(directory: string, name: string): string {
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}
