import { watch, type FSWatcher } from 'node:fs';
import net from 'node:net';
import type { TlsOptions } from 'node:tls';
import { isBun, isDeno } from './runtimeName.js';

/*
 * Everything in which Bun and Deno differ from Node, as far as this package has to know. Measured
 * on the versions in docs/platforms.md; `tests/long/runtimes.test.ts` fails when one changes.
 */

/**
 * Returns the result of a look at something that Deno allows only with a flag, or `otherwise` if
 * the flag is missing.
 */
export function permitted<Value, Other>(look: () => Value, otherwise: Other): Value | Other {
  try {
    return look();
  } catch (error) {
    if (isDeniedByDeno(error)) return otherwise;
    throw error;
  }
}

/** Whether Deno refused something for want of a flag. */
export function isDeniedByDeno(error: unknown): boolean {
  return isDeno && (error as Error | undefined)?.name === 'NotCapable';
}

/** The method of a listening handle by which node:net closes it, before that method returns. */
export const closeMethod = isBun ? 'stop' : 'close';

/** Makes `server.address()` the address of a claim. Bun asks the handle instead of the server. */
export function nameServer(server: { _pipeName: string | null; readonly _handle: object | null }, address: string): void {
  server._pipeName = address;
  if (isBun && server._handle !== null) Object.defineProperty(server._handle, 'unix', { value: address, configurable: true });
}

/** The parts of Bun's connection that are in use here. */
interface ConnectionOfBun {
  /** By which node:net finds the server of the connection. Without it, no listener is called. */
  data: unknown;
  pause(): void;
  resume(): void;
  terminate(): void;
}

/** Closes a connection that the program has not seen. Bun continues with it otherwise. */
export function dropConnection(client: { close(): void }): void {
  if (!isBun) return client.close();
  const connection = client as unknown as ConnectionOfBun;
  connection.data = undefined;
  connection.terminate();
}

/**
 * Keeps a connection from the program, while an asynchronous rule decides. Nothing is read from it.
 * Node and Deno read nothing by themselves.
 *
 * @returns admits the connection, by the function that it is given
 */
export function keepConnection(client: object): (admit: () => void) => void {
  if (!isBun) return (admit) => admit();
  const connection = client as ConnectionOfBun;
  connection.pause();
  return (admit) => {
    admit();
    connection.resume();
  };
}

/** The listener that node:net sets on the handle of a listening socket. */
export type OnConnection = (this: object, status: number, client: unknown) => void;

let denoListener: OnConnection | undefined;

/**
 * Returns node:net's own listener on Deno, which is the same function for every server. On a real
 * handle Deno wraps it together with the step that accepts, and a wrapper of that cannot look at
 * the connection first. A handle that is not one of Deno's shows the listener itself.
 *
 * @throws Error Deno has changed.
 */
export function listenerOfDeno(): OnConnection {
  if (denoListener !== undefined) return denoListener;
  const shown = new Error('for the caller below');
  const handle: { onconnection?: OnConnection; getAsyncId(): number; listen(): never } = {
    getAsyncId: () => 0,
    // Ends here: nothing listens, and no event and no diagnostics channel tells of this server.
    listen: () => {
      throw shown;
    },
  };
  const server = new net.Server() as unknown as { _handle: object | null; _listen2?(...args: readonly unknown[]): void };
  server._handle = handle;
  try {
    server._listen2?.(null, null, null, 0, -1);
  } catch (error) {
    if (error !== shown) throw error;
  }
  server._handle = null;
  if (typeof handle.onconnection !== 'function') throw new Error('This version of Deno shows no listener to guard.');
  return (denoListener = handle.onconnection);
}

/** The HTTP connections of a server, without upgraded ones. */
interface HttpConnections<Socket> {
  all(): Socket[];
  /** Those on which no request has begun to arrive. They may still wait for an answer. */
  idle(): Socket[];
}

/**
 * Returns the HTTP connections of a server on Deno or Bun, or undefined: it is Node's, or not one
 * of node:http. On Bun, these are connections that were handed over to it by another server.
 */
export function httpConnections<Socket extends object>(server: object): HttpConnections<Socket> | undefined {
  if (isDeno) {
    const list = hidden(server, 'http.server.connections') as ListOfDeno<Socket> | undefined;
    if (list === undefined) return undefined;
    return { all: () => [...list._all], idle: () => [...list._all].filter((socket) => !list._active.has(socket)) };
  }
  if (!isBun || !('maxHeadersCount' in server)) return undefined;
  // There is no list before the first connection.
  const all = (): Socket[] => [...((hidden(server, 'http1Connections') as ReadonlySet<Socket> | undefined) ?? [])];
  const isBusy = (socket: Socket): boolean =>
    Number(hidden(socket, 'http1ActiveRequests') ?? 0) > 0 || hidden(socket, 'http1MessageOpen') === true;
  return { all, idle: () => all().filter((socket) => !isBusy(socket)) };
}

interface ListOfDeno<Socket> {
  readonly _all: ReadonlySet<Socket>;
  /** Those on which a request arrives, or is answered. */
  readonly _active: ReadonlyMap<Socket, unknown>;
}

/** Returns the property whose key is the symbol with this description. */
function hidden(object: object, description: string): unknown {
  const key = Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description);
  return key === undefined ? undefined : (object as Record<symbol, unknown>)[key];
}

/**
 * Returns the options for a tls server that does the same as this server of node:https on Bun, or
 * undefined for one of node:http.
 *
 * @throws Error This version of Bun does not tell which it is.
 */
export function tlsOptionsOfBun(server: object): TlsOptions | undefined {
  const [options, made] = [hidden(server, 'options'), hidden(server, 'tls')];
  if (made === null) return undefined;
  if (made === undefined || typeof options !== 'object')
    throw new Error('This version of Bun does not show the options of a server.');
  return options as TlsOptions;
}

/**
 * Calls `last` at an end of the process at which the runtime emits no `exit`. Node and Bun always
 * emit it.
 *
 * Deno emits nothing if an error ends the process that nothing handles, so `last` is called for the
 * error itself, if it is certain that the process does not survive it. `Deno.exit` has an event of
 * its own, which comes at other ends, too.
 */
export function atSilentEnd(last: () => void): void {
  if (!isDeno) return;
  process.on('uncaughtExceptionMonitor', () => {
    const handled = process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback();
    if (!handled && !hasErrorListeners()) last();
  });
  (globalThis as unknown as EventTarget).addEventListener('unload', last);
}

/**
 * Whether a listener of the global object may handle the error, too, with `preventDefault`. The
 * first listener for `error` is that of node:process. If Deno does not show the lists, there may be
 * others.
 */
function hasErrorListeners(): boolean {
  const values = Object.getOwnPropertySymbols(globalThis).map((key) => (globalThis as Record<symbol, unknown>)[key]);
  const shown = values as readonly ({ readonly listeners?: Readonly<Record<string, readonly unknown[]>> } | undefined)[];
  const lists = shown.find((value) => value?.listeners?.['error'] !== undefined)?.listeners;
  return lists?.['error']?.length !== 1 || (lists['unhandledrejection'] ?? []).length > 0;
}

/**
 * Watches a directory, and keeps no process alive. Deno ignores `persistent`, and its `unref` is
 * for the wait for the next event alone, which begins in a later turn of the event loop.
 */
export function watchUnreferenced(path: string, changed: (name: string | null) => void): FSWatcher {
  const unref = (): void => void (isDeno && setImmediate(() => watcher.unref()));
  const watcher = watch(path, { persistent: false }, (_event, name) => {
    unref();
    changed(name);
  });
  unref();
  return watcher;
}
