import type { Server } from 'node:net';
import type { Target } from '../claim/place.js';
import { beginAtCaller } from '../errors/caller.js';
import { explainMistakes } from '../request/mistake.js';
import { readRequest, type ListenOptions, type Request } from '../request/options.js';
import { refuseOther } from '../request/server.js';
import { refuseCallback } from '../request/refuse.js';
import { ServerAcceptor } from './adopt.js';
import { finish } from './begin.js';
import { acceptsDescriptor, listenByName, refuseUnsupported } from './byName.js';
import { Claim, publicAddress, serveHandovers } from './claim.js';
import { sayReady } from './inherit.js';
import { obtain } from './obtain.js';
import { Pending } from './pending.js';
import { rebind } from './rebind.js';
import type { Displacement } from './watch.js';
import { attempt } from './target.js';

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
 * On Bun, servers of node:http and node:https have weaker promises: `docs/platforms.md`.
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
 * file is at the path. Otherwise as `docs/errors.md` lists
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
    refuseCallback(callback);
    refuseOther(server);
    const read = readRequest(address, options);
    refuseUnsupported(server, read);
    return read;
  });
  const adopted = acceptsDescriptor(server);
  const pending = new Pending(server, address, request.waitMs !== undefined || request.takeoverMs !== undefined);
  try {
    const cancellable = { ...request, signal: pending.signal(request.signal) };
    return await attempt(request, (target) =>
      adopted ? adopt(server, cancellable, target, pending) : listenByName(server, cancellable, target, pending),
    );
  } finally {
    pending.end();
  }
}

async function adopt(server: Server, request: Request, target: Target, pending: Pending): Promise<Claim> {
  const listening = publicAddress(request, target);
  const acceptor = new ServerAcceptor(server, listening, request, pending);
  const hold = await obtain(request, target, acceptor);
  acceptor.onClose = (closeHandle) => hold.surrender(closeHandle);
  // A listener of 'listening' closed it before this line.
  if (acceptor.closed) hold.surrender();
  const release = (): void => {
    if (!hold.released && server.listening) server.close();
  };
  return finish(hold, acceptor, () => {
    const serve = (): void => serveHandovers(request, hold, acceptor, () => claim.emit('handover'));
    const recover = (what: Displacement): void => rebind(request, hold, acceptor, what, serve);
    const claim = new Claim(listening, hold, release, request.rebind ? recover : undefined);
    acceptor.onDenied = (peer) => claim.deny(peer);
    serve();
    if (hold.inherited) sayReady();
    return claim;
  });
}
