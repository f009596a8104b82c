import { hasConnections, socketTypeDefault, type SocketType } from '#dist/address/socketType.js';
import { AT_FDCWD } from '#dist/kernel/kernel.js';
import type { Errno, FileStatus } from '#dist/kernel/kernel.js';

/**
 * The kernel as far as a handover needs it: names, locks, sockets, connections, and descriptors
 * that are on their way.
 */
export interface HandoverWorld {
  names: Record<string, number>;
  inodes: ({ type: 'file' | 'socket' } | null)[];
  open: Description[];
  processes: ProcessState[];
  /** Whether a process was ended, or gave its claim up: then there may be no server for a time. */
  ended: boolean;
  /** Whether a newcomer had died already when the holder last read that one is ready. */
  readDead: boolean;
}

export interface ProcessState {
  /** Which description each descriptor refers to, -1: none. */
  fds: number[];
  /** The listening sockets that its event loop accepts on. */
  accepts: number[];
  /**
   * `handing`: it has been told that the newcomer is ready, and gives up its share. `leaving`: it
   * gives up the claim. `misled`: it was handed a socket of another type than it asked for.
   */
  standing: 'starting' | 'holding' | 'handing' | 'leaving' | 'done' | 'misled';
  uid: number;
}

/** The object that a descriptor refers to. */
export type Description =
  | { kind: 'file'; ino: number; locked: boolean }
  | { kind: 'socket'; type: SocketType; ino: number; listening: boolean; uid: number; queue: number[] }
  | { kind: 'connection'; peer: number; peerUid: number; inbox: { text: string; passed: number[] }[]; reset: boolean };

export const waits: unique symbol = Symbol('waits');
const firstFd = 3;

export function emptyHandoverWorld(uids: readonly number[]): HandoverWorld {
  const processes = uids.map((uid): ProcessState => ({ fds: [], accepts: [], standing: 'starting', uid }));
  return { names: {}, inodes: [null], open: [], processes, ended: false, readDead: false };
}

export function copyHandoverWorld(world: HandoverWorld): HandoverWorld {
  const open = world.open.map((one): Description => {
    if (one.kind === 'socket') return { ...one, queue: [...one.queue] };
    return one.kind === 'file' ? { ...one } : { ...one, inbox: [...one.inbox] };
  });
  const processes = world.processes.map((process) => ({ ...process, fds: [...process.fds], accepts: [...process.accepts] }));
  return { ...world, names: { ...world.names }, inodes: [...world.inodes], open, processes };
}

/** The one directory, which stays where it is. */
const directory: FileStatus = { dev: 1n, ino: 0n, type: 'directory', mode: 0o755, uid: 1000, gid: 1000, nlink: 2, size: 0 };

/**
 * Makes a call in a world that may be changed. `timeout`: the time that a poll may take is over.
 */
export function handoverCall(world: HandoverWorld, who: number, name: string, args: readonly unknown[], choice: string): unknown {
  const process = world.processes[who]!;
  const at = (fd: unknown): Description | undefined => world.open[process.fds[(fd as number) - firstFd] ?? -1];
  const descriptor = (description: number): number => {
    const free = process.fds.indexOf(-1);
    const index = free < 0 ? process.fds.length : free;
    process.fds[index] = description;
    return index + firstFd;
  };
  const path = String(args[args[0] === AT_FDCWD ? 1 : 0]);
  const ino = world.names[path];
  switch (name) {
    case 'mark':
      process.standing = args[0] as ProcessState['standing'];
      if (args[0] === 'leaving') world.ended = true;
      return 0;
    case 'geteuid':
      return process.uid;
    case 'sleep':
    case 'fchmod':
    case 'ftruncate':
    case 'mmap':
      return 0;
    case 'pwrite':
      return String(args[1]).length;
    case 'pread':
      return { text: '' };
    case 'openat': {
      const flags = String(args[2]);
      if (ino === undefined && !flags.includes('O_CREAT')) return 'ENOENT';
      if (ino !== undefined && flags.includes('O_CREAT')) return 'EEXIST';
      const made = ino ?? newInode(world, path, 'file');
      return descriptor(world.open.push({ kind: 'file', ino: made, locked: false }) - 1);
    }
    case 'close':
      if (at(args[0]) === undefined) return 'EBADF';
      process.fds[(args[0] as number) - firstFd] = -1;
      return 0;
    case 'fstat': {
      const opened = at(args[0]);
      if (args[0] === AT_FDCWD) return directory;
      return opened === undefined || opened.kind === 'connection' ? 'EBADF' : status(world, opened.ino);
    }
    case 'fstatat':
      if (path === '') return directory;
      return ino === undefined ? 'ENOENT' : status(world, ino);
    case 'flock': {
      const opened = at(args[0]);
      if (opened?.kind !== 'file') return 'EBADF';
      if (args[1] === 'LOCK_UN') opened.locked = false;
      if (args[1] === 'LOCK_UN') return 0;
      if (world.open.some((other) => other !== opened && other.kind === 'file' && other.locked && other.ino === opened.ino))
        return 'EAGAIN';
      opened.locked = true;
      return 0;
    }
    case 'unlinkat':
      if (ino === undefined) return 'ENOENT';
      delete world.names[path];
      return 0;
    case 'renameat2': {
      const to = String(args[2]);
      if (ino === undefined) return 'ENOENT';
      if (world.names[to] !== undefined) return 'EEXIST';
      delete world.names[path];
      world.names[to] = ino;
      return 0;
    }
    case 'socket': {
      const [type = socketTypeDefault] = args as readonly SocketType[];
      return descriptor(world.open.push({ kind: 'socket', type, ino: 0, listening: false, uid: process.uid, queue: [] }) - 1);
    }
    // The harness asks, so a mutant cannot change the answer.
    case 'trueType': {
      const socket = at(args[0]);
      return socket?.kind === 'socket' ? socket.type : 'ENOTSOCK';
    }
    case 'socketType': {
      const socket = at(args[0]);
      return socket?.kind === 'socket' ? { type: socket.type } : 'ENOTSOCK';
    }
    case 'bind': {
      const socket = at(args[0]);
      const bound = String(args[1]);
      if (socket?.kind !== 'socket') return 'EBADF';
      if (world.names[bound] !== undefined) return 'EADDRINUSE';
      socket.ino = newInode(world, bound, 'socket');
      return 0;
    }
    case 'listen': {
      const socket = at(args[0]);
      if (socket?.kind !== 'socket') return 'EBADF';
      if (!hasConnections(socket.type)) return 'ENOTSUP';
      socket.listening = true;
      return 0;
    }
    case 'probe':
      return ino === undefined ? 'ENOENT' : socketAt(world, ino) === undefined ? 'ECONNREFUSED' : 'EPROTOTYPE';
    case 'sock_diag': {
      const socket = at(args[0]);
      return socket?.kind === 'socket' && socket.ino !== 0 ? { dev: 1n, ino: BigInt(socket.ino) } : 'ENOENT';
    }
    case 'connect': {
      if (ino === undefined) return 'ENOENT';
      const socket = socketAt(world, ino);
      if (socket === undefined || !socket.listening) return 'ECONNREFUSED';
      const client = world.open.length;
      world.open.push({ kind: 'connection', peer: client + 1, peerUid: socket.uid, inbox: [], reset: false });
      world.open.push({ kind: 'connection', peer: client, peerUid: process.uid, inbox: [], reset: false });
      socket.queue.push(client + 1);
      return descriptor(client);
    }
    case 'accept': {
      const socket = at(args[0]);
      if (choice !== '') return choice;
      if (socket?.kind !== 'socket') return 'EBADF';
      const connection = socket.queue.shift();
      return connection === undefined ? waits : descriptor(connection);
    }
    case 'peerCredentials': {
      const connection = at(args[0]);
      return connection?.kind === 'connection' ? { pid: 1, uid: connection.peerUid, gid: 1 } : 'EBADF';
    }
    case 'poll': {
      const connection = at(args[0]);
      if (connection?.kind !== 'connection') return 'EBADF';
      if (choice === 'abandon') return 'ECANCELED';
      const ready = connection.inbox.length > 0 || connection.peer < 0;
      if (choice === 'timeout') return ready || args[1] === Infinity ? waits : 'ETIMEDOUT';
      return ready ? 0 : waits;
    }
    case 'sendmsg': {
      const connection = at(args[0]);
      if (connection?.kind !== 'connection') return 'EBADF';
      const peer = world.open[connection.peer];
      if (peer?.kind !== 'connection') return 'EPIPE';
      const passed = (args[2] as number[]).map((fd) => process.fds[fd - firstFd] ?? -1);
      if (passed.includes(-1)) return 'EBADF';
      peer.inbox.push({ text: String(args[1]), passed });
      return String(args[1]).length;
    }
    case 'recvmsg': {
      const connection = at(args[0]);
      if (connection?.kind !== 'connection') return 'EBADF';
      const message = connection.inbox.shift();
      if (message !== undefined) {
        if (message.text.includes('ready')) world.readDead = connection.peer < 0;
        return { text: message.text, fds: message.passed.map(descriptor) };
      }
      if (connection.peer >= 0) return 'EAGAIN';
      if (!connection.reset) return { text: '', fds: [] };
      connection.reset = false;
      return 'ECONNRESET';
    }
    case 'accepting': {
      const description = process.fds[(args[1] as number) - firstFd] ?? -1;
      if (description < 0) return 'EBADF';
      process.accepts = process.accepts.filter((accepting) => accepting !== description);
      if (args[0] === 'start') process.accepts.push(description);
      return 0;
    }
    default:
      throw new Error(`${name} is not simulated here`);
  }
}

/** No other process, and no guarantee, can tell whether such a call was made. */
export function isQuiet(name: string): boolean {
  return [
    'geteuid',
    'sleep',
    'fchmod',
    'ftruncate',
    'pwrite',
    'mmap',
    'pread',
    'fstat',
    'socket',
    'sock_diag',
    'socketType',
    'trueType',
    'peerCredentials',
    'mark',
  ].includes(name);
}

export function endProcess(world: HandoverWorld, who: number): void {
  const process = world.processes[who]!;
  process.fds = [];
  process.accepts = [];
  process.standing = 'done';
  world.ended = true;
}

export function socketAt(world: HandoverWorld, ino: number): (Description & { kind: 'socket' }) | undefined {
  return world.open.find((one): one is Description & { kind: 'socket' } => one.kind === 'socket' && one.ino === ino);
}

function newInode(world: HandoverWorld, path: string, type: 'file' | 'socket'): number {
  let ino = 1;
  while (world.inodes[ino]) ino++;
  world.inodes[ino] = { type };
  world.names[path] = ino;
  return ino;
}

function status(world: HandoverWorld, ino: number): FileStatus | Errno {
  const inode = world.inodes[ino];
  if (!inode) return 'ENOENT';
  const nlink = Object.values(world.names).filter((named) => named === ino).length;
  return { dev: 1n, ino: BigInt(ino), type: inode.type, mode: 0o600, uid: 1000, gid: 1000, nlink, size: 0 };
}

/**
 * Closes objects that no descriptor refers to any more, also those on their way over a connection
 * that is gone, and renumbers the others.
 */
export function settleHandover(world: HandoverWorld): HandoverWorld {
  const renumbered = new Map<number, number>();
  const order: number[] = [];
  const reach = (description: number): void => {
    if (description < 0 || renumbered.has(description)) return;
    renumbered.set(description, order.push(description) - 1);
  };
  for (const { fds } of world.processes) for (const description of fds) reach(description);
  for (let i = 0; i < order.length; i++) {
    const one = world.open[order[i]!]!;
    if (one.kind === 'socket') for (const queued of one.queue) reach(queued);
    if (one.kind === 'connection') for (const { passed } of one.inbox) for (const description of passed) reach(description);
  }
  const to = (description: number): number => renumbered.get(description) ?? -1;
  const open = order.map((index): Description => {
    const one = world.open[index]!;
    if (one.kind === 'socket') return { ...one, queue: one.queue.map(to) };
    if (one.kind === 'file') return one;
    const gone = one.peer >= 0 && to(one.peer) < 0;
    const peer = world.open[one.peer];
    // close(2) of a connection whose input was not read resets it.
    const reset = one.reset || (gone && peer?.kind === 'connection' && peer.inbox.length > 0);
    return { ...one, peer: to(one.peer), reset, inbox: one.inbox.map(({ text, passed }) => ({ text, passed: passed.map(to) })) };
  });
  const processes = world.processes.map((process) => {
    const fds = process.fds.map((description) => (description < 0 ? -1 : to(description)));
    while (fds.at(-1) === -1) fds.pop();
    const accepts = process.accepts.map(to).filter((description) => fds.includes(description));
    return { ...process, fds, accepts };
  });
  const pinned = new Set([...Object.values(world.names), ...open.map((one) => (one.kind === 'connection' ? 0 : one.ino))]);
  const inodes = world.inodes.map((inode, ino) => (pinned.has(ino) ? inode : null));
  while (inodes.length > 1 && inodes.at(-1) === null) inodes.pop();
  const names = Object.fromEntries(Object.entries(world.names).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return { ...world, names, inodes, open, processes };
}
