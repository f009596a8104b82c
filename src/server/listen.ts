import type { Server } from 'node:net';
import { beginAtCaller } from '../errors/caller.js';
import { explainMistakes } from '../request/mistake.js';
import { readRequest, type ListenOptions } from '../request/readRequest.js';
import { requireServer } from '../request/requireServer.js';
import { requireType } from '../request/readSocketType.js';
import { socketTypeDefault } from '../address/socketType.js';
import { requireNoCallback } from '../request/requireOptions.js';
import { ServerAcceptor } from './serverAcceptor.js';
import { listenByName, listensByName, requireSupported } from './byName.js';
import type { Claim } from './claim.js';
import { acquireFor } from './acquireFor.js';
import { Pending } from './pending.js';

/**
 * Makes a server listen on a Unix socket, under an exclusive claim that a crash never leaves
 * behind.
 *
 * When the promise is fulfilled, clients can connect, `server.listening` is true and
 * `server.address()` is the address. A socket file that a dead server left is replaced. The address
 * of a live server is refused with `EADDRINUSE` and its `holder`. Regular files, directories and
 * symbolic links at the path are left alone.
 *
 * `server.close()` releases the claim at once, not when the last connection ends. A normal process
 * exit releases it too. After `kill -9`, the kernel releases the claim, and the next start removes
 * the socket file. No signal handler is installed.
 *
 * @example
 * ```js
 * import { createServer } from 'node:http';
 * import { listen } from 'reuseaddr';
 *
 * const server = createServer((request, response) => response.end('hello\n'));
 * const claim = await listen(server, '/run/app.sock', { mode: 0o660, wait: true });
 * console.log(server.listening, claim.lockPath === '/run/app.sock.lock'); // → true true
 * ```
 *
 * @param server any server of node:net, node:http, node:https, node:http2 or node:tls
 * @param address a pathname, or an abstract name such as `@app` (Linux)
 * @throws {SocketAddressError} `EADDRINUSE`: another process has the address. `ENOTSOCK`: another
 * file is at the path. `ENOENT`: no such directory. `EINVAL`, `ENAMETOOLONG`: bad address or
 * option. `ERR_INVALID_ARG_TYPE`: no server, or no string. `ERR_SERVER_ALREADY_LISTEN`: the server
 * listens already. `EACCES` or another errno: that of the system call that failed
 * @see flock(2), unix(7), listen(2)
 */
export async function listen(server: Server, address: string, options: ListenOptions = {}): Promise<Claim> {
  try {
    return await listenOnClaim(server, address, options, arguments[3]);
  } catch (error) {
    throw beginAtCaller(error, listen);
  }
}

async function listenOnClaim(server: Server, address: string, options: ListenOptions, callback: unknown): Promise<Claim> {
  const request = explainMistakes(address, 'listen on', () => {
    requireNoCallback(callback);
    requireServer(server);
    const read = readRequest(address, options);
    requireType(options.type, socketTypeDefault, 'use claim(), or bind() for a socket of node:dgram');
    requireSupported(server, read);
    return read;
  });
  const pending = Pending.ofServer(server, request);
  try {
    return await (listensByName(pending) ? listenByName(pending) : listenDirectly(pending));
  } finally {
    pending.end();
  }
}

async function listenDirectly(pending: Pending): Promise<Claim> {
  const { owner: server, request } = pending;
  const acceptor = new ServerAcceptor(pending);
  const release = (): void => {
    if (server.listening) server.close();
  };
  return await acquireFor(request, acceptor, release, (claim) => {
    acceptor.onDenied = (peer) => claim.deny(peer);
  });
}
