import type { Http2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { beginAtCaller } from '../errors/caller.js';
import type { SocketAddressError } from '../errors/socketAddressError.js';
import { explainUnknownPeer, explainWrong, peerTask } from '../errors/explain.js';
import { kindOf } from '../errors/kind.js';
import { describeSocket } from '../kernel/descriptors.js';
import { failed } from '../kernel/kernel.js';
import { kernel, peerGroups } from '../kernel/posix.js';
import { isBun } from '../kernel/runtimeName.js';

/** The process at the other end of a connection. The kernel vouches for it: it cannot be forged. */
export interface Credentials {
  /**
   * Process id of the process that called connect(2) (or, for a client, listen(2)). It is 0 if this
   * process cannot see the PID namespace of that one.
   */
  readonly pid: number;
  /** Effective user id at that moment. */
  readonly uid: number;
  /** Effective group id at that moment. */
  readonly gid: number;
  /** Supplementary group ids, if the kernel reports them (Linux 4.13 and later). */
  readonly groups?: readonly number[] | undefined;
}

/** Decides about the peer of a connection, by its descriptor. Only `true` lets it in. */
export type Judge = (connection: number) => boolean | Promise<boolean>;

/** Node's wrapper of a connection. No documented way leads to its descriptor. */
interface WithHandle {
  readonly _handle?: { readonly fd?: number } | null;
}

/**
 * Returns the credentials of the process at the other end of a Unix socket.
 *
 * `connection` is a `net.Socket`, the `socket` of an http request or a tls server, or an http2
 * session.
 *
 * Decide about access by uid and gid. Another process may have the pid by now, or may have received
 * the connection from that process.
 *
 * @example
 * ```js
 * import { createServer } from 'node:net';
 * import { connect, listen, peerCredentials } from 'reuseaddr';
 *
 * const server = createServer((connection) => {
 *   console.log(peerCredentials(connection).pid === process.pid); // → true
 *   connection.end();
 * });
 * await listen(server, '/run/app.sock');
 * await connect('/run/app.sock');
 * ```
 *
 * @throws {SocketAddressError} `ENOTCONN`: the connection is closed, or not open yet; `ENOTSUP`: it
 * is not a Unix socket; `ERR_INVALID_ARG_TYPE`: it is not a connection
 * @see unix(7), SO_PEERCRED and SO_PEERGROUPS; on macOS LOCAL_PEERCRED and LOCAL_PEERPID
 */
export function peerCredentials(connection: Socket | Http2Session): Credentials {
  if (!isConnection(connection)) throw beginAtCaller(explainNoConnection(connection), peerCredentials);
  const fd = descriptorOf(connection);
  if (fd === undefined && isBun && isAccepted(connection)) throw beginAtCaller(explainNoDescriptor(), peerCredentials);
  const credentials = fd === undefined || fd < 0 ? 'ENOTCONN' : credentialsOf(fd);
  if (failed(credentials)) throw beginAtCaller(explainUnknownPeer(credentials), peerCredentials);
  return credentials;
}

/**
 * Returns the credentials of the peer on `fd`, or `ENOTSUP` if `fd` is not a Unix socket. `groups`
 * is missing if SO_PEERGROUPS is unavailable.
 */
export function credentialsOf(fd: number): Credentials | `E${string}` {
  const peer = kernel.peerCredentials(fd);
  // Linux reports a TCP socket as ENOTCONN, just like a Unix socket that is not connected.
  if (failed(peer)) return describeSocket(fd) === 'EAFNOSUPPORT' ? 'ENOTSUP' : peer;
  const groups = peerGroups(fd);
  return failed(groups) ? peer : { ...peer, groups };
}

function isConnection(value: unknown): boolean {
  try {
    return typeof value === 'object' && value !== null && 'on' in value && typeof value.on === 'function';
  } catch {
    return true; // The `socket` of a destroyed http2 session throws at every access.
  }
}

function explainNoConnection(value: unknown): SocketAddressError {
  const wrong = `the connection must be a net.Socket, a tls socket or an http2 session, and this is ${kindOf(value)}`;
  const right = 'pass the connection, or request.socket';
  return explainWrong(undefined, 'bad-argument', 'ERR_INVALID_ARG_TYPE', { wrong, right }, peerTask);
}

/** Whether a server has accepted it. On Bun, one that is not open yet is `open`, too. */
function isAccepted(connection: object): boolean {
  const { readyState, server } = connection as { readonly readyState?: string; readonly server?: object };
  return readyState === 'open' && server !== undefined;
}

/** Bun's own server of HTTP has accepted it. With a rule, a server of node:net does. */
function explainNoDescriptor(): SocketAddressError {
  const wrong = 'Bun does not show the descriptor of this connection';
  const right = 'listen with a rule in { allow }, such as () => true';
  return explainWrong(undefined, 'unsupported', 'ENOTSUP', { wrong, right }, peerTask);
}

function descriptorOf(connection: Socket | Http2Session): number | undefined {
  try {
    const { _handle: handle, socket } = connection as WithHandle & { readonly socket?: WithHandle };
    // `handle` comes first for the stand-in that an http2 session has for its socket: it has no
    // `socket` of its own.
    return (handle ?? socket?._handle)?.fd;
  } catch (error) {
    // The error of the `socket` of a destroyed http2 session at every access.
    if ((error as NodeJS.ErrnoException).code === 'ERR_HTTP2_SOCKET_UNBOUND') return undefined;
    throw error;
  }
}
