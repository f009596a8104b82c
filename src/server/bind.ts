import type { Socket } from 'node:dgram';
import type { SocketType } from '../address/socketType.js';
import { beginAtCaller } from '../errors/caller.js';
import { readDatagramSocket, unbound } from '../request/datagramSocket.js';
import { explainMistakes } from '../request/mistake.js';
import { readRequest, type ListenOptions } from '../request/readRequest.js';
import { requireNoCallback, requireOptions } from '../request/requireOptions.js';
import { requireType } from '../request/readSocketType.js';
import type { Claim } from './claim.js';
import { acquireFor } from './acquireFor.js';
import { DatagramAcceptor } from './datagramAcceptor.js';
import { Pending } from './pending.js';

/** The options of `bind`: those of `listen` that do not need connections. */
export type BindOptions = Omit<ListenOptions, 'type' | 'backlog' | 'allow'>;

const datagram: SocketType = 'datagram';

/**
 * Binds a socket of node:dgram to a Unix datagram socket, under an exclusive claim that a crash
 * never leaves behind.
 *
 * When the promise is fulfilled, each datagram that is sent to the address arrives as a `message`
 * event. A socket file that a dead process left is replaced, as with `listen`. `socket.close()`
 * releases the claim. Datagrams that wait at that moment are lost, although their senders were told
 * that they were sent. After a handover, the next process reads them.
 *
 * The socket receives only: `send` would use UDP. Node tells neither the address nor the
 * credentials of a sender, so the permissions of the file decide which processes may send, and
 * every process of the network namespace may send to an abstract name. A message over 65,536 bytes
 * is cut to that length. The kernel closes descriptors that come along. While the program is busy,
 * messages wait in the kernel, at most net.unix.max_dgram_qlen of them: then `send` of the other
 * side waits, or fails with EAGAIN.
 *
 * On Bun and Deno, use `claim` and its `fd`.
 *
 * @example
 * ```js
 * import { createSocket } from 'node:dgram';
 * import { bind } from 'reuseaddr';
 *
 * const socket = createSocket('udp4'); // Its family has no effect.
 * socket.on('message', (message) => console.log(String(message)));
 * const claim = await bind(socket, '/run/log.sock', { mode: 0o666 });
 * console.log(claim.address); // → /run/log.sock
 * ```
 *
 * @param socket a socket of node:dgram that is not bound
 * @param address a pathname, or an abstract name such as `@app` (Linux)
 * @throws {SocketAddressError} as `listen` does. `ERR_SOCKET_ALREADY_BOUND`: the socket is bound
 * already. `ERR_SOCKET_DGRAM_NOT_RUNNING`: it is closed. `ENOTSUP`: this runtime cannot do it
 * @see unix(7), systemd.socket(5), `ListenDatagram=`
 */
export async function bind(socket: Socket, address: string, options: BindOptions = {}): Promise<Claim> {
  try {
    return await bindOnClaim(socket, address, options, arguments[3]);
  } catch (error) {
    throw beginAtCaller(error, bind);
  }
}

async function bindOnClaim(socket: Socket, address: string, options: ListenOptions, callback: unknown): Promise<Claim> {
  const request = explainMistakes(address, 'listen on', () => {
    requireNoCallback(callback);
    readDatagramSocket(socket);
    requireOptions(options);
    requireType(options.type, datagram, 'use claim(), or listen() for a server');
    return readRequest(address, { ...options, type: datagram });
  });
  const pending = new Pending(socket, request, {
    name: 'bind',
    startedCode: 'ERR_SOCKET_ALREADY_BOUND',
    hasStarted: (owner) => readDatagramSocket(owner).bindState !== unbound,
  });
  try {
    return await acquireFor(pending.request, new DatagramAcceptor(pending), () => socket.close());
  } finally {
    pending.end();
  }
}
