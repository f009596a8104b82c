import { publishedAs } from '../address/names.js';
import { pinDirectory, type Directory, type Place } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { workingDirectory } from '../holder/find.js';
import type { Holder } from '../holder/holder.js';
import { AT_FDCWD, failed, run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { fileKey, isServing, type UnixSocket } from '../kernel/sockets.js';
import { guardedPlace } from './guardedPlace.js';
import { describeAbstract, fields, inspectPlace, socketsNamed, told, type AddressState, type Inspection } from './inspect.js';
import { isOnDevice, Snapshot } from './snapshot.js';
import { walkSockets, type Unlisted } from './walk.js';

/** A socket that `listSockets` found. */
export interface ListedSocket extends Omit<Inspection, 'state'> {
  /**
   * The state that `inspect` reports, or `displaced`: a process is bound to the name, but no client
   * can reach it there. Its file was removed or replaced, or is in another mount namespace. A
   * socket that was bound by a relative path, in a directory that is not known, is a `stray`.
   */
  readonly state: AddressState | 'displaced';
}

export interface Listing {
  readonly sockets: readonly ListedSocket[];
  readonly unlisted: readonly Unlisted[];
}

/**
 * Lists Unix sockets that have a name, in the order of their names.
 *
 * Without paths: those that a process has open. With paths: the socket files at and below them, and
 * the abstract names among them (`@app`). A stale socket is only a file, so only a search below
 * paths finds it.
 *
 * Takes no lock and makes no connection. Does not follow symlinks.
 */
export function listSockets(paths: readonly string[]): Listing {
  const snapshot = new Snapshot();
  if (paths.length === 0)
    return { sockets: sorted(snapshot.sockets.map((socket) => lookAtSocket(socket, snapshot))), unlisted: [] };

  const abstract = paths
    .filter((path) => path.startsWith('@'))
    .flatMap((name) => socketsNamed(name.slice(1), snapshot).map((socket) => describeAbstract(name, socket, snapshot)));
  const files: ListedSocket[] = [];
  const denied: Unlisted[] = [];
  const unlisted = walkSockets(
    paths.filter((path) => !path.startsWith('@')),
    (directory, name, named) => {
      const found = lookAtFile(directory, name, snapshot);
      if (found === undefined || found.state === 'free') return;
      // It was a socket a moment ago. Now a file of this name cannot even be inspected.
      if (found.state === 'blocked' && found.inode === undefined) denied.push({ path: found.address, why: 'EACCES', named });
      else files.push(found);
    },
  );
  return {
    sockets: sorted([...abstract, ...files]),
    unlisted: [...unlisted, ...denied],
  };
}

function lookAtSocket(socket: UnixSocket, snapshot: Snapshot): ListedSocket {
  const { name = '', type, waiting, backlog } = socket;
  if (name.startsWith('@')) return describeAbstract(name, socket, snapshot);
  const holder = snapshot.holderOf(socket);
  const path = pathOf(socket, holder);
  const found = path === undefined ? undefined : lookAtPath(path, snapshot);
  if (found !== undefined && found.state !== 'free') return found;
  // If the directory is not known, the file cannot be known to be gone. Holders of this package
  // bind absolute paths.
  const state = name.startsWith('/') ? 'displaced' : 'stray';
  return { address: name, state, type, holder, waiting, backlog };
}

/** Returns the path of the file that the socket is bound to, if it is still there. */
function pathOf(socket: UnixSocket, holder: Holder | undefined): string | undefined {
  const { file: bound } = socket;
  const name = publishedAs(socket.name ?? '');
  if (name.startsWith('/proc/self/')) return undefined;
  // A relative name belongs to the working directory of that moment. That is often still the
  // working directory today, but the file has to prove it.
  const directory = name.startsWith('/') ? '' : `${workingDirectory(holder) ?? '/nowhere'}/`;
  const path = `${directory}${name}`;
  const file = kernel.fstatat(AT_FDCWD, path);
  if (failed(file) || file.type !== 'socket') return undefined;
  if (!isOnDevice(socket, file) || bound === undefined) return directory === '' ? path : undefined;
  return bound.endsWith(`:${BigInt.asUintN(32, file.ino)}`) ? path : undefined;
}

function lookAtPath(path: string, snapshot: Snapshot): ListedSocket | undefined {
  const slash = path.lastIndexOf('/');
  const directory = run(kernel, pinDirectory(path.slice(0, slash) || '/'));
  if (isRefusal(directory)) return undefined;
  const found = lookAtFile(directory, path.slice(slash + 1), snapshot);
  kernel.close(directory.fd);
  return found;
}

function lookAtFile(directory: Directory, name: string, snapshot: Snapshot): ListedSocket | undefined {
  const place = guardedPlace(directory, name);
  return place && (lookAtListener(place, snapshot) ?? run(kernel, inspectPlace(place, snapshot)));
}

/**
 * Fast path for the common case: a process listens, and the lock is held or absent. It needs two
 * looks. `inspectPlace` gives the same answer, but reads the lock file and probes the socket again:
 * three times the work.
 */
function lookAtListener(place: Place, snapshot: Snapshot): ListedSocket | undefined {
  const file = kernel.fstatat(place.directory.fd, place.name);
  const bound = failed(file) || file.type !== 'socket' ? undefined : snapshot.boundTo(place.path, file);
  if (failed(file) || bound === undefined || !isServing(bound) || bound.file !== fileKey(file)) return undefined;
  const lock = kernel.fstatat(place.lock.directory.fd, place.lock.name);
  const state =
    lock === 'ENOENT' ? 'stray' : !failed(lock) && lock.type === 'file' && snapshot.isLocked(lock) ? 'listening' : undefined;
  const holder = state && snapshot.holderOf(bound);
  if (state === undefined || holder === undefined) return undefined;
  const { path, directory, lockPath } = place;
  const reason = snapshot.isShared(directory.path) ? ('shared-directory' as const) : undefined;
  return {
    address: path,
    lockPath,
    ...fields(file),
    state,
    holder,
    ...snapshot.instancesOf(holder, bound),
    ...(reason && { reason }),
    ...told(bound),
  };
}

function sorted(sockets: readonly ListedSocket[]): readonly ListedSocket[] {
  return [...sockets].sort((one, other) => (one.address < other.address ? -1 : Number(one.address > other.address)));
}
