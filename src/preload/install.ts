import diagnostics from 'node:diagnostics_channel';
import { SocketAddressError } from '../errors/error.js';
import { isBun, isDeno } from '../kernel/runtime.js';
import type { Request } from '../request/options.js';
import { PreloadedServer } from './acceptor.js';
import { readPath } from './address.js';
import { claimHandle, claimLater, claimNow } from './claim.js';
import { beforeLongConnections } from './client.js';
import { removeDirectory } from './directory.js';
import { hasWorkers, isWorker, noteServer, wasHandedOver } from './cluster.js';
import { asNodeError, negativeErrno } from './error.js';
import { guardFiles } from './files.js';
import { refuseRename, removeSocket } from './guard.js';
import { connectLongPaths } from './longPath.js';
import { installOnOthers } from './otherRuntimes.js';
import { isPath, nodeNet, serverPrototype, type CreateServerHandle, type Listen2, type NodeServer } from './node.js';
import type { PreloadOptions } from './options.js';

/** Shared by all copies of this package in the process: two copies must not both take the lock. */
const installed: unique symbol = Symbol.for('reuseaddr.register');

/**
 * Makes every server of this thread claim the paths and abstract names that it listens on. Does
 * nothing the second time, and on Windows, which has no stale pipes.
 *
 * It replaces only the step of `listen` that binds. Overloads, callback, AbortSignal and
 * node:cluster are Node's own before it, and so are `listening`, its tick, `unref` and the backlog
 * after it.
 *
 * On Bun and Deno it replaces the functions of the runtime that bind, see `otherRuntimes.ts`.
 *
 * @throws Error with the code `ERR_REUSEADDR_RUNTIME`: this runtime has no such step, or Bun cannot
 * keep the choices of REUSEADDR
 */
export function install(options: PreloadOptions): void {
  const prototype = serverPrototype as NodeServer & { [installed]?: true };
  if (process.platform === 'win32' || prototype[installed] === true) return;
  if (isBun) refuseChoices(options);
  if (isBun || isDeno) installOnOthers();
  if (isBun) {
    Object.defineProperty(prototype, installed, { value: true });
    guardFiles(() => ({ removeSocket, removeDirectory, refuseRename }));
    return;
  }
  const { _listen2: listen2 } = serverPrototype;
  const { _createServerHandle: create } = nodeNet;
  if (typeof (listen2 as unknown) !== 'function' || typeof (create as unknown) !== 'function') throw unknownRuntime();
  Object.defineProperty(prototype, installed, { value: true });
  serverPrototype._listen2 = Object.defineProperty(claimingListen2(listen2, create, options), 'name', { value: listen2.name });
  nodeNet._createServerHandle = claimingCreate(create);
  beforeLongConnections(() => connectLongPaths(create));
  guardFiles(() => ({ removeSocket, removeDirectory, refuseRename }));
}

/**
 * Replaces the step for `server.listen`, for the primary of node:cluster under SCHED_RR, and for a
 * worker with `exclusive`.
 */
function claimingListen2(listen2: Listen2, create: CreateServerHandle, options: PreloadOptions): Listen2 {
  const takesTime = options.wait || options.takeover || options.handover;
  return function (address, port, addressType, backlog, fd, flags) {
    const listen = (): void => listen2.call(this, address, port, addressType, backlog, fd, flags);
    const path = isPath(address, port, addressType, fd) ? address : undefined;
    if (takesTime && isWorker()) noteServer(this, path);
    if (this._handle !== null || path === undefined) return listen();
    // A worker waits for an answer to this, and serves no address that another generation has.
    if (hasWorkers() && wasHandedOver(path)) return;
    const calledOff = new AbortController();
    const request = readPath(path, backlog, takesTime ? { ...options, signal: calledOff.signal } : options);
    if (request === undefined) return listen();
    const server = new PreloadedServer(this, path, create, listen);
    if (takesTime) return listenLater(this, path, server, request, calledOff);
    try {
      claimNow(request, server);
    } catch (error) {
      if (!(error instanceof SocketAddressError)) throw error;
      refuse(this, asNodeError(error, path, this.listen));
    }
  };
}

/**
 * Listens later, in the way of node:net for a host name that has to be looked up: a `close` or
 * another `listen` in the meantime cancels it.
 */
function listenLater(
  emitter: NodeServer,
  address: string,
  server: PreloadedServer,
  request: Request,
  calledOff: AbortController,
): void {
  // The server may still have connections of an earlier address. The `close` that follows them does
  // not concern this one.
  const callOff = (): void => (server.calledOff ? calledOff.abort() : undefined);
  emitter.on('close', callOff);
  claimLater(request, server)
    .catch((error: unknown) => {
      if (server.calledOff) return;
      refuse(emitter, error instanceof SocketAddressError ? asNodeError(error, address) : error);
    })
    .finally(() => emitter.off('close', callOff));
}

/**
 * Refuses in the way of node:net: first on the diagnostics channel, and in the next tick by the
 * event.
 */
function refuse(server: NodeServer, error: unknown): void {
  const listening = diagnostics.tracingChannel('net.server.listen');
  if (listening.error.hasSubscribers) listening.error.publish({ server, error });
  process.nextTick(emitError, server, error);
}

function emitError(server: NodeServer, error: unknown): void {
  server.emit('error', error);
}

/**
 * Replaces the step for the primary of node:cluster under SCHED_NONE, which keeps the handle while
 * its workers accept on copies of it. It cannot wait: Node requires the handle, or a negative
 * errno, at once.
 */
function claimingCreate(create: CreateServerHandle): CreateServerHandle {
  return function _createServerHandle(address, port, addressType, fd, flags) {
    const request = isPath(address, port, addressType, fd) ? readPath(address, undefined, {}) : undefined;
    if (request === undefined) return create(address, port, addressType, fd, flags);
    try {
      return claimHandle(request, create);
    } catch (error) {
      if (!(error instanceof SocketAddressError)) throw error;
      return negativeErrno(asNodeError(error, request.text));
    }
  };
}

/** On Bun a server listens at once, or fails. */
function refuseChoices(options: PreloadOptions): void {
  const chosen = Object.entries(options).find(([, isChosen]) => isChosen);
  if (chosen !== undefined) throw unknownRuntime(`Bun listens at once, and REUSEADDR=${chosen[0]} takes time`);
}

function unknownRuntime(why = 'it needs Node.js 20.19, or 22.3 or later, and this runtime listens in another way'): Error {
  const message = `Cannot load reuseaddr/register: ${why}. Call listen() of reuseaddr in the program instead, or set REUSEADDR=off.`;
  return Object.assign(new Error(message), { code: 'ERR_REUSEADDR_RUNTIME' });
}
