import { connect as netConnect, Socket, type NetConnectOpts } from 'node:net';
import type { Address } from '../address/address.js';
import { hasConnections, socketTypeDefault, type SocketType } from '../address/socketType.js';
import { beginAtCaller } from '../errors/caller.js';
import { explainConnect, type FailedConnect } from '../errors/explain.js';
import { findServer, findType } from '../holder/find.js';
import { nowMs, pause } from '../kernel/clock.js';
import { Descriptor } from '../kernel/descriptor.js';
import { readDestination } from '../request/readAddress.js';
import { badOption, explainMistakes } from '../request/mistake.js';
import { readSignal, requireNoCallback, requireOptions, requireKnown } from '../request/requireOptions.js';
import { connectOnce, isTemporary } from './connectOnce.js';
import { pauseMs } from './pause.js';
import { connectPipe } from './pipe.js';
import { destinationOf } from './destination.js';

/** The options of `connect`. */
export interface ConnectOptions {
  /** How long to try, in milliseconds. Default: 5,000. 0: one attempt. Infinity: indefinitely. */
  readonly timeout?: number | undefined;
  /**
   * Ends the attempts: the promise is rejected with the signal's reason, an AbortError. Has no
   * effect once there is a socket.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * As for `net.Socket`: whether this end stays open for writing after the other end has ended.
   * Default: false.
   */
  readonly allowHalfOpen?: boolean | undefined;
}

const timeoutMsDefault = 5_000;

/**
 * Connects to a Unix socket, and waits for a server that is starting, restarting or busy.
 *
 * When the promise is fulfilled, the socket is connected: write to it at once. While the server is
 * missing (`ENOENT`), dead (`ECONNREFUSED`) or busy (`EAGAIN`), `connect` tries again until the
 * deadline. Any other error is reported at once. The server may not have accepted the connection
 * yet; only an answer proves that a request was carried out.
 *
 * @example
 * ```js
 * import { connect, SocketAddressError } from 'reuseaddr';
 *
 * const error = await connect('/run/app.sock', { timeout: 100 }).catch((thrown) => thrown);
 * console.log(error instanceof SocketAddressError, error.reason); // → true absent
 * ```
 *
 * @param address a pathname, or an abstract name such as `@app` (Linux)
 * @throws {SocketAddressError} with the last cause, as `docs/errors.md` lists
 * @throws the signal's reason
 * @see connect(2), unix(7)
 */
export async function connect(address: string, options: ConnectOptions = {}): Promise<Socket> {
  try {
    return await connectInTime(address, options, arguments[2]);
  } catch (error) {
    throw beginAtCaller(error, connect);
  }
}

async function connectInTime(address: string, options: ConnectOptions, callback: unknown): Promise<Socket> {
  const asked = explainMistakes(address, 'connect to', () => {
    requireNoCallback(callback);
    return read(address, options);
  });
  const connected = await tryInTime(address, asked, socketTypeDefault);
  return connected instanceof Socket ? connected : socketOf(connected, asked.allowHalfOpen);
}

/**
 * Connects a socket of any type in the same way, and returns its descriptor.
 *
 * @internal
 */
export async function connectDescriptor(address: string, timeout: number, type: SocketType): Promise<number> {
  const asked = explainMistakes(address, 'connect to', () => read(address, { timeout }));
  return (await tryInTime(address, asked, type)) as number;
}

async function tryInTime(address: string, asked: Asked, type: SocketType): Promise<Socket | number> {
  const { parsed, timeout, signal, allowHalfOpen } = asked;
  signal?.throwIfAborted();

  // A later chdir(2) must not lead to another server.
  const destination = destinationOf(parsed);
  const startMs = nowMs();
  for (let tries = 0; ; tries++) {
    const connected = parsed.kind === 'pipe' ? await connectPipe(parsed.path, allowHalfOpen) : connectOnce(destination, type);
    if (connected instanceof Socket || typeof connected === 'number') return connected;
    const triedMs = nowMs() - startMs;
    if (!isTemporary(connected) || triedMs >= timeout)
      throw failure(address, destination, withType(destination, type, connected), tries === 0 ? 0 : triedMs);
    // The last attempt happens at the deadline itself.
    await pause(Math.min(pauseMs(tries, Math.random()), timeout - triedMs), signal);
    signal?.throwIfAborted();
  }
}

interface Asked {
  readonly parsed: Address;
  readonly timeout: number;
  readonly allowHalfOpen: boolean;
  readonly signal: AbortSignal | undefined;
}

function read(address: string, options: ConnectOptions): Asked {
  requireOptions(options);
  const { timeout = timeoutMsDefault, allowHalfOpen = false } = options;
  const parsed = readDestination(address);
  requireKnown(options, ['timeout', 'signal', 'allowHalfOpen']);
  if (typeof timeout !== 'number' || !(timeout >= 0)) throw badOption('timeout', 'must be a number of milliseconds, 0 or more');
  const signal = readSignal(options.signal);
  if (typeof allowHalfOpen !== 'boolean') throw badOption('allowHalfOpen', 'must be true or false');
  return { parsed, timeout, signal, allowHalfOpen };
}

/**
 * The socket closes the descriptor. Bun reads from a descriptor only if the socket connects to it.
 */
function socketOf(fd: number, allowHalfOpen: boolean): Socket {
  const socket =
    'bun' in process.versions
      ? netConnect({ fd, allowHalfOpen } as unknown as NetConnectOpts)
      : new Socket({ fd, readable: true, writable: true, allowHalfOpen });
  try {
    Descriptor.at(fd)?.closed();
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
}

/** unix(7): connect(2) and send(2) of any other socket fail with EPERM. */
const takesFromOne = {
  wrong: 'it is connected to one socket and takes datagrams from no other, or a security module does not permit it',
  right: 'check what its program connects it to',
} as const;

/**
 * Names the type of the socket that is there, if it is another one. An abstract name may be in use
 * for another type, and then it looks free.
 */
function withType(destination: string, type: SocketType, failed: FailedConnect): FailedConnect {
  if (failed.errno === 'EPERM' && !hasConnections(type)) return { ...failed, ...takesFromOne };
  const abstract = destination.startsWith('\0');
  if (failed.unreachable !== 'not-a-stream' && !(abstract && failed.unreachable === 'absent')) return failed;
  const found = findType(destination.replace(/^\0/, '@'), type);
  if (abstract && found === undefined) return failed;
  const wrong = `it is a ${found ?? 'socket of another type'}${found === undefined ? '' : ' socket'}, not a ${type}`;
  const right = found === undefined ? undefined : `use reuseaddr connect --type=${found}, or a program for such sockets`;
  return { ...failed, unreachable: 'not-a-stream', errno: 'EPROTOTYPE', wrong, right };
}

function failure(address: string, destination: string, failed: FailedConnect, triedMs: number): Error {
  const held = failed.unreachable === 'backlog-full' || failed.unreachable === 'starting';
  const holder = held ? findServer(destination.replace(/^\0/, '@')) : undefined;
  return explainConnect(address, failed, Math.round(triedMs), holder);
}
