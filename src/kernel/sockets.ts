import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { hasConnections, socketTypeDefault, socketTypeOf, type SocketType } from '../address/socketType.js';
import { addon, type FileIdentity } from './addon.js';
import type { Errno, FileStatus } from './kernel.js';
import { errnoName } from './errno.js';

/** One Unix socket, as the kernel describes it. */
export interface UnixSocket {
  readonly type: SocketType;
  readonly state: 'listening' | 'connected' | 'other';
  /** The number of the socket itself, as in `/proc/<pid>/fd`: `socket:[1234]`. */
  readonly inode: number;
  /**
   * The name that it was bound to: a path, as the program spelt it, or `@` and an abstract name.
   */
  readonly name: string | undefined;
  /**
   * The file that it is bound to, by `fileKey`. The name cannot tell: another socket may have it by
   * now.
   */
  readonly file: string | undefined;
  /** How many connections wait to be accepted, and how many may wait. */
  readonly waiting: number | undefined;
  readonly backlog: number | undefined;
}

/**
 * Returns all Unix sockets of this network namespace, as any user, without connecting to any. Uses
 * sock_diag(7), or proc(5) if the kernel has no unix_diag (then without files and queues).
 * `ENOSYS`: not Linux.
 */
export function unixSockets(): readonly UnixSocket[] | Errno {
  const first = dump();
  const second = typeof first === 'number' ? first : dump();
  if (typeof first === 'number' || typeof second === 'number') return readTable() ?? errnoName(Number(second));
  // The kernel counts its place in a list that changes in the meantime: when a socket closes,
  // another may be left out, or appear twice. Two lists rarely lack the same one. For a socket that
  // is only in the first list, the kernel is asked whether it still exists. That searches the whole
  // list, so only addresses are asked about: connections come and go by the thousand.
  const sockets = new Map(second.map((socket) => [socket.inode, socket]));
  for (const socket of first)
    if (isAddress(socket) && !sockets.has(socket.inode) && exists(socket)) sockets.set(socket.inode, socket);
  return [...sockets.values()];
}

/**
 * Whether it has a name that others can use. An accepted connection has the name of its listener.
 */
export function isAddress({ name, type, state }: UnixSocket): boolean {
  return name !== undefined && (!hasConnections(type) || state !== 'connected');
}

/** Whether clients of its address reach it: it listens, or its type needs no listen(2). */
export function isServing({ type, state }: UnixSocket): boolean {
  return state === 'listening' || !hasConnections(type);
}

function dump(): readonly UnixSocket[] | number {
  const messages = addon().sockDiagDump(anyState, showName | showFile | showQueue);
  return typeof messages === 'number' ? messages : parseDump(messages);
}

const unusedAnswer = new Uint32Array(2) as FileIdentity;

function exists({ inode }: UnixSocket): boolean {
  const result = addon().sockDiag(inode, unusedAnswer);
  // It exists, and is bound to no file.
  return result === 0 || errnoName(result) === 'ENOENT';
}

function readTable(): readonly UnixSocket[] | undefined {
  try {
    return parseTable(readFileSync('/proc/net/unix', 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * The part of a file's identity that sock_diag(7) and stat(2) share: its device, and the lower 32
 * bits of its inode.
 */
export function fileKey({ dev, ino }: Pick<FileStatus, 'dev' | 'ino'>): string {
  return `${dev}:${BigInt.asUintN(32, ino)}`;
}

// linux/unix_diag.h, linux/netlink.h, linux/sock_diag.h.
const anyState = 0xffff_ffff;
const showName = 1;
const showFile = 2;
const showQueue = 16;
const attribute = { name: 0, file: 1, queue: 4 } as const;
const messageTypeSocket = 20;
const messageHeaderBytes = 16;
const socketHeaderBytes = 16;
const attributeHeaderBytes = 4;

/** TCP_LISTEN and TCP_ESTABLISHED: Unix sockets use the states of TCP. */
const states: Readonly<Record<number, UnixSocket['state']>> = { 1: 'connected', 10: 'listening' };

const little = endianness() === 'LE';

/**
 * Reads netlink(7) messages: each is a header, the socket, and attributes. A truncated message ends
 * the list.
 */
function parseDump(messages: ArrayBuffer): UnixSocket[] {
  const view = new DataView(messages);
  const bytes = Buffer.from(messages);
  const sockets: UnixSocket[] = [];
  for (let at = 0; at + messageHeaderBytes <= view.byteLength;) {
    const length = view.getUint32(at, little);
    if (length < messageHeaderBytes || at + length > view.byteLength) break;
    if (view.getUint16(at + 4, little) === messageTypeSocket) sockets.push(parseSocket(view, bytes, at, at + length));
    at += (length + 3) & ~3;
  }
  return sockets;
}

function parseSocket(view: DataView, bytes: Buffer, start: number, end: number): UnixSocket {
  const header = start + messageHeaderBytes;
  const socket = {
    type: socketTypeOf(view.getUint8(header + 1)) ?? socketTypeDefault,
    state: states[view.getUint8(header + 2)] ?? 'other',
    inode: view.getUint32(header + 4, little),
    name: undefined as string | undefined,
    file: undefined as string | undefined,
    waiting: undefined as number | undefined,
    backlog: undefined as number | undefined,
  };
  for (let at = header + socketHeaderBytes; at + attributeHeaderBytes <= end;) {
    const length = view.getUint16(at, little);
    if (length < attributeHeaderBytes || at + length > end) break;
    const value = at + attributeHeaderBytes;
    switch (view.getUint16(at + 2, little)) {
      case attribute.name:
        socket.name = boundName(bytes, value, at + length);
        break;
      case attribute.file:
        socket.file = `${deviceNumber(view.getUint32(value + 4, little))}:${view.getUint32(value, little)}`;
        break;
      case attribute.queue:
        // For other sockets than listening ones these are bytes.
        if (socket.state !== 'listening') break;
        socket.waiting = view.getUint32(value, little);
        socket.backlog = view.getUint32(value + 4, little);
        break;
    }
    at += (length + 3) & ~3;
  }
  return socket;
}

/** unix(7): a pathname ends at its NUL; an abstract name begins with one and may contain more. */
function boundName(bytes: Buffer, start: number, end: number): string | undefined {
  if (start >= end) return undefined;
  if (bytes[start] === 0) return `@${bytes.toString('utf8', start + 1, end)}`;
  const nul = bytes.indexOf(0, start);
  return bytes.toString('utf8', start, nul < 0 || nul > end ? end : nul);
}

/** Converts the kernel's own encoding (12 bits of major, 20 of minor) to that of stat(2). */
function deviceNumber(device: number): number {
  const major = device >>> 20;
  const minor = device & 0xfffff;
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/**
 * proc(5), /proc/net/unix: `Num RefCount Protocol Flags Type St Inode Path`. NULs in an abstract
 * name are shown as `@`.
 */
export function parseTable(table: string): UnixSocket[] {
  const line = /^[0-9a-f]+: [0-9A-F]+ [0-9A-F]+ ([0-9A-F]+) ([0-9A-F]+) ([0-9A-F]+) +(\d+)(?: (.*))?$/gim;
  return [...table.matchAll(line)].map(([, flags = '', type = '', state = '', inode, name]) => ({
    type: socketTypeOf(Number.parseInt(type, 16)) ?? socketTypeDefault,
    state: (Number.parseInt(flags, 16) & acceptsConnections) !== 0 ? 'listening' : state === '03' ? 'connected' : 'other',
    inode: Number(inode),
    name,
    file: undefined,
    waiting: undefined,
    backlog: undefined,
  }));
}

/** `__SO_ACCEPTCON`. */
const acceptsConnections = 0x10000;
