import { hasConnections, type SocketType } from '#dist/address/socketType.js';
import type { FileType } from '#dist/kernel/kernel.js';

/**
 * All that the simulated kernel knows at one moment: one directory, the open files and sockets, and
 * each process's descriptors.
 *
 * A world is a plain value. Two moments that no process can tell apart have the same world
 * (`settle` sees to that), so a world's JSON text is its identity.
 */
export interface World {
  /** The directory's entries: which inode has which name. */
  names: Record<string, number>;
  /**
   * By inode number. Numbers are given again at once, the lowest first, as ext4 does: a comparison
   * of numbers alone may lie.
   */
  inodes: (Inode | null)[];
  /** The open file descriptions (open(2)). A lock belongs to one of these, not to a process. */
  open: (OpenFile | OpenSocket)[];
  /**
   * For each process, the description behind each of its descriptors, from `firstFd` on; -1 where
   * there is none.
   */
  descriptors: number[][];
  /** The process that is halfway through bind(2), and has the directory locked; -1 when none is. */
  binding: number;
  /** The errno of flock(2), if it does not work. */
  flockErrno?: 'ENOLCK';
}

export interface Inode {
  type: FileType;
  mode: number;
  /** A file's content, a symlink's target. */
  text: string;
}

export interface OpenFile {
  kind: 'file';
  ino: number;
  path: string;
  locked: boolean;
}

export interface OpenSocket {
  kind: 'socket';
  type: SocketType;
  /** The inode that it is bound to; 0 when it is bound to none. */
  ino: number;
  /** The inode that bind(2) has made, halfway through. */
  binding?: number;
  /** The abstract name that it is bound to; empty when it has none. */
  name: string;
  mode: number;
  listening: boolean;
  /** Whether a connection reached its queue. */
  visited: boolean;
}

export const firstFd = 3;

/** An empty directory, and processes that have nothing open. */
export function emptyWorld(directory: string, processes: number): World {
  const root: Inode = { type: 'directory', mode: 0o755, text: '' };
  const descriptors = Array.from({ length: processes }, () => []);
  return { names: { [directory]: 1 }, inodes: [null, root], open: [], descriptors, binding: -1 };
}

export function copyWorld(world: World): World {
  return {
    ...world,
    names: { ...world.names },
    inodes: world.inodes.map((inode) => inode && { ...inode }),
    open: world.open.map((description) => ({ ...description })),
    descriptors: world.descriptors.map((fds) => [...fds]),
  };
}

/** Makes a file that is that no process has open. */
export function putFile(world: World, path: string, type: FileType, text = ''): World {
  const next = copyWorld(world);
  next.names[path] = newInode(next, { type, mode: 0o644, text });
  return settle(next);
}

export function newInode(world: World, inode: Inode): number {
  let ino = 1;
  while (world.inodes[ino]) ino++;
  world.inodes[ino] = inode;
  return ino;
}

/** Ends a process without any warning: the kernel closes all that it has. */
export function crash(world: World, process: number): World {
  const next = copyWorld(world);
  next.descriptors[process] = [];
  return settle(next);
}

/** The same world with its processes in another order: the `order[i]`th becomes the `i`th. */
export function permute(world: World, order: readonly number[]): World {
  const next = copyWorld(world);
  next.descriptors = order.map((process) => world.descriptors[process]!);
  next.binding = order.indexOf(world.binding);
  return settle(next);
}

/**
 * Drops objects that no descriptor refers to any more, and brings the others into the one order
 * that a world has: descriptions by the descriptors that refer to them, names by the alphabet.
 */
export function settle(world: World): World {
  const open: (OpenFile | OpenSocket)[] = [];
  const renumbered = new Map<number, number>();
  world.descriptors = world.descriptors.map((fds) => {
    const last = fds.findLastIndex((description) => description >= 0);
    return fds.slice(0, last + 1).map((description) => {
      if (description < 0) return -1;
      if (!renumbered.has(description)) renumbered.set(description, open.push(world.open[description]!) - 1);
      return renumbered.get(description)!;
    });
  });
  world.open = open;
  world.names = Object.fromEntries(Object.entries(world.names).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  // An inode lives as long as a name, an open file or a bound socket refers to it.
  const pinned = new Set([
    ...Object.values(world.names),
    ...open.flatMap((each) => [each.ino, 'binding' in each ? each.binding : 0]),
  ]);
  const inodes = world.inodes.map((inode, ino) => (pinned.has(ino) ? inode : null));
  world.inodes = inodes.slice(0, inodes.findLastIndex((inode) => inode !== null) + 1);
  return world;
}

/**
 * Whether clients reach a socket at its address. A datagram socket needs no listen(2): bind(2) is
 * enough.
 */
export function isServing({ type, ino, listening }: OpenSocket): boolean {
  return hasConnections(type) ? listening : ino !== 0;
}

/** The socket that is bound to the inode which has this name now. */
export function socketAt(world: World, path: string): OpenSocket | undefined {
  const ino = world.names[path];
  return ino === undefined ? undefined : socketBoundTo(world, ino);
}

export function socketBoundTo(world: World, ino: number): OpenSocket | undefined {
  return world.open.find((description) => description.kind === 'socket' && description.ino === ino) as OpenSocket | undefined;
}

export function openAt(world: World, process: number, fd: number): OpenFile | OpenSocket | undefined {
  return world.open[world.descriptors[process]![fd - firstFd] ?? -1];
}

/** Whether one of this process's descriptors is this description. */
export function has(world: World, process: number, wanted: OpenFile | OpenSocket): boolean {
  return world.descriptors[process]!.some((index) => world.open[index] === wanted);
}

/** Whether a process has this very file locked. */
export function hasLocked(world: World, process: number, ino: number): boolean {
  return world.open.some((open) => open.kind === 'file' && open.ino === ino && open.locked && has(world, process, open));
}

export function hasLock(world: World, process: number): boolean {
  return world.open.some((open) => open.kind === 'file' && open.locked && has(world, process, open));
}
