import diagnostics from 'node:diagnostics_channel';
import { SocketAddressError } from '../errors/socketAddressError.js';
import type { Request } from '../request/readRequest.js';
import { PreloadedServer } from './preloadedServer.js';
import { readPath } from './readPath.js';
import { acquireHandle, acquireLater, acquireNow } from './acquireNow.js';
import { hasWorkers, wasHandedOver } from './cluster.js';
import { asNodeError, negativeErrno } from './nodeError.js';
import type { CreateServerHandle, NodeServer } from './node.js';
import type { PreloadOptions } from './preloadOptions.js';

/**
 * Loads what a start takes, with the timers that the program has not replaced yet. Without it, that
 * is loaded at the first path.
 */
export function prepare(): void {}

/** A call of the step of `listen` that binds. */
interface Listening {
  readonly path: string;
  readonly backlog: number | false | undefined;
  /** Node's own step. */
  readonly listen: () => void;
  readonly create: CreateServerHandle;
  readonly options: PreloadOptions;
  /** Whether a start may take time, so that `listening` comes later than Node's own. */
  readonly takesTime: boolean;
}

/** Makes a server listen under a claim, or refuses by its `error` event. */
export function listenOnPath(emitter: NodeServer, { path, backlog, listen, create, options, takesTime }: Listening): void {
  // A worker waits for an answer to this, and serves no address that another generation has.
  if (hasWorkers() && wasHandedOver(path)) return;
  const controller = new AbortController();
  const request = readPath(path, backlog, takesTime ? { ...options, signal: controller.signal } : options);
  if (request === undefined) return listen();
  const server = new PreloadedServer(emitter, path, create, listen);
  if (takesTime) return listenLater(emitter, path, server, request, controller);
  try {
    acquireNow(request, server);
  } catch (error) {
    if (!(error instanceof SocketAddressError)) throw error;
    refuse(emitter, asNodeError(error, path, emitter.listen));
  }
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
  controller: AbortController,
): void {
  // The server may still have connections of an earlier address. The `close` that follows them does
  // not concern this one.
  const cancel = (): void => (server.cancelled ? controller.abort() : undefined);
  emitter.on('close', cancel);
  acquireLater(request, server)
    .catch((error: unknown) => {
      if (server.cancelled) return;
      refuse(emitter, error instanceof SocketAddressError ? asNodeError(error, address) : error);
    })
    .finally(() => emitter.off('close', cancel));
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
 * Creates a handle under a claim for the primary of node:cluster under SCHED_NONE, which keeps it
 * while its workers accept on copies. It cannot wait: Node requires the handle, or a negative
 * errno, at once.
 */
export function createOnPath(
  path: string,
  create: CreateServerHandle,
  createPlain: () => ReturnType<CreateServerHandle>,
): ReturnType<CreateServerHandle> {
  const request = readPath(path, undefined, {});
  if (request === undefined) return createPlain();
  try {
    return acquireHandle(request, create);
  } catch (error) {
    if (!(error instanceof SocketAddressError)) throw error;
    return negativeErrno(asNodeError(error, request.text));
  }
}
