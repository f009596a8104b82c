import type { Socket } from 'node:dgram';
import { kindOf } from '../errors/kind.js';
import { Mistake } from './mistake.js';

/**
 * The internals of Node's socket in use here. `tests/server/bindRuntimes.test.ts` fails when Node
 * changes them.
 */
export interface SocketState {
  /** Null: the socket is closed. */
  handle: UdpHandle | null;
  bindState: number;
  receiving: boolean;
}

/** The handle of libuv. It reads from any datagram socket. */
export interface UdpHandle {
  /** uv_udp_open: 0, or a negative errno. */
  open(fd: number): number;
  close(callback?: () => void): void;
}

/** The socket has no address yet. */
export const unbound = 0;

/**
 * Returns the internal state of a socket of node:dgram. Throws a `Mistake` if the value is none, is
 * closed, or belongs to a runtime that cannot read from a given descriptor.
 */
export function readDatagramSocket(socket: unknown): SocketState {
  if (!isDatagramSocket(socket)) {
    const wrong = `the first argument must be a socket of node:dgram, and this is ${kindOf(socket)}`;
    throw new Mistake('bad-argument', 'ERR_INVALID_ARG_TYPE', { wrong, right: advise(socket) });
  }
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'state symbol');
  const state = symbol && (socket as unknown as Record<symbol, Partial<SocketState> | undefined>)[symbol];
  if (state?.handle === null)
    throw new Mistake('bad-argument', 'ERR_SOCKET_DGRAM_NOT_RUNNING', { wrong: 'the socket is closed', right: 'create another' });
  if (typeof state?.handle?.open === 'function') return state as SocketState;
  const wrong = 'this runtime does not let a socket of node:dgram read from a descriptor';
  throw new Mistake('unsupported', 'ENOTSUP', { wrong, right: 'use claim() and its fd, or Node.js' });
}

function isDatagramSocket(value: unknown): value is Socket {
  return has(value, 'bind', 'send', 'addMembership', 'close', 'once');
}

function advise(value: unknown): string {
  if (has(value, 'listen', 'close')) return 'write listen(server, address) for a server';
  return "pass the result of createSocket('udp4'), or write claim(address, { type: 'datagram' })";
}

function has(value: unknown, ...methods: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function');
}
