import diagnostics from 'node:diagnostics_channel';
import { SocketAddressError } from '../errors/error.js';
import { readPath } from './address.js';
import { claimNow, handleOf, obtain, type Obtain, type Outcome } from './claim.js';
import { asNodeError, negativeErrno } from './error.js';
import { isPath, nodeNet, serverPrototype, type CreateServerHandle, type Listen2, type NodeServer } from './node.js';
import type { PreloadOptions } from './options.js';

/** Of the process, not of this copy of the package: two copies must not both take the lock. */
const installed: unique symbol = Symbol.for('reuseaddr.register');

/**
 * Makes every server of this thread claim the paths and abstract names that it listens on. Does nothing the second time, and on
 * Windows, which has no stale pipes.
 *
 * What is replaced is not `listen` but the step in it that binds: overloads, callback, AbortSignal and node:cluster are Node's own
 * before it, and `listening`, its tick, `unref` and the backlog after it.
 *
 * @throws Error with the code `ERR_REUSEADDR_RUNTIME`: this runtime has no such step (Bun)
 */
export function install(options: PreloadOptions, claim: Obtain = obtain): void {
  const prototype = serverPrototype as NodeServer & { [installed]?: true };
  if (process.platform === 'win32' || prototype[installed] === true) return;
  const { _listen2: listen2 } = serverPrototype;
  const { _createServerHandle: create } = nodeNet;
  if (typeof (listen2 as unknown) !== 'function' || typeof (create as unknown) !== 'function') throw unknownRuntime();
  Object.defineProperty(prototype, installed, { value: true });
  const claiming = claimingListen2(listen2, create, (request, signal) => claim(request, options, signal));
  serverPrototype._listen2 = Object.defineProperty(claiming, 'name', { value: listen2.name });
  nodeNet._createServerHandle = claimingCreate(create);
}

type ClaimRequest = (request: NonNullable<ReturnType<typeof readPath>>, signal: AbortSignal) => Outcome | Promise<Outcome>;

/** For `server.listen`, also that of node:cluster's primary under SCHED_RR, and that of a worker with `exclusive`. */
function claimingListen2(listen2: Listen2, create: CreateServerHandle, claim: ClaimRequest): Listen2 {
  return function (address, port, addressType, backlog, fd, flags) {
    const request = this._handle === null && isPath(address, port, addressType, fd) ? readPath(address, backlog) : undefined;
    if (request === undefined || address === null) return listen2.call(this, address, port, addressType, backlog, fd, flags);

    const proceed = (outcome: Outcome): void => {
      const handle = outcome instanceof SocketAddressError ? outcome : handleOf(outcome, address, create);
      if (handle instanceof SocketAddressError) return refuse(this, asNodeError(handle, address, this.listen));
      this._handle = handle;
      // With a handle that is there, it has only to listen.
      listen2.call(this, address, port, addressType, backlog, fd, flags);
    };
    const calledOff = new AbortController();
    const outcome = claim(request, calledOff.signal);
    if (!(outcome instanceof Promise)) return proceed(outcome);
    proceedLater(this, outcome, calledOff, proceed);
  };
}

/** As node:net does where a host name has to be looked up first: a `close` or another `listen` in the meantime calls it off. */
function proceedLater(
  server: NodeServer,
  claimed: Promise<Outcome>,
  calledOff: AbortController,
  proceed: (outcome: Outcome) => void,
): void {
  const id = server._listeningId;
  const callOff = (): void => calledOff.abort();
  server.once('close', callOff);
  const settle = (outcome: Outcome): void => {
    server.off('close', callOff);
    if (id === server._listeningId) return proceed(outcome);
    if (!(outcome instanceof SocketAddressError)) outcome.surrender();
  };
  claimed.then(
    // Outside of the promise: what a listener throws is an uncaught exception, as ever, not an unhandled rejection.
    (outcome) => process.nextTick(settle, outcome),
    (error: unknown) => process.nextTick(emitError, server, error),
  );
}

/** As node:net refuses: first on the diagnostics channel, and in the next tick by the event. */
function refuse(server: NodeServer, error: SocketAddressError): void {
  const listening = diagnostics.tracingChannel('net.server.listen');
  if (listening.error.hasSubscribers) listening.error.publish({ server, error });
  process.nextTick(emitError, server, error);
}

function emitError(server: NodeServer, error: unknown): void {
  server.emit('error', error);
}

/**
 * For node:cluster's primary under SCHED_NONE: it keeps the handle, and its workers accept on copies of it. It can't wait: Node
 * wants the handle, or a negative errno, at once.
 */
function claimingCreate(create: CreateServerHandle): CreateServerHandle {
  return function _createServerHandle(address, port, addressType, fd, flags) {
    const request = isPath(address, port, addressType, fd) ? readPath(address, undefined) : undefined;
    if (request === undefined || address === null) return create(address, port, addressType, fd, flags);
    const outcome = claimNow(request);
    const handle = outcome instanceof SocketAddressError ? outcome : handleOf(outcome, address, create);
    return handle instanceof SocketAddressError ? negativeErrno(asNodeError(handle, address, create)) : handle;
  };
}

function unknownRuntime(): Error {
  const message =
    `Cannot load reuseaddr/register: it needs Node.js 20.19 or later, and this runtime listens in another way. ` +
    `Call listen() of reuseaddr in the program instead, or set REUSEADDR=off.`;
  return Object.assign(new Error(message), { code: 'ERR_REUSEADDR_RUNTIME' });
}
