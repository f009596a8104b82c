import net from 'node:net';

/**
 * Everything in which Bun and Deno differ from Node, as far as this package has to know. Measured
 * on the versions in docs/platforms.md; `tests/long/runtimes.test.ts` fails when one changes.
 */
export const isDeno = 'deno' in process.versions;
export const isBun = 'bun' in process.versions;

/**
 * Returns the result of a look at something that Deno allows only with a flag, or `otherwise` if
 * the flag is missing.
 */
export function permitted<Value, Other>(look: () => Value, otherwise: Other): Value | Other {
  try {
    return look();
  } catch (error) {
    if (isRefusedByDeno(error)) return otherwise;
    throw error;
  }
}

/** Whether Deno refused something for want of a flag. */
export function isRefusedByDeno(error: unknown): boolean {
  return isDeno && (error as Error | undefined)?.name === 'NotCapable';
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

/**
 * Returns the methods of node:http's list of connections, if it is Deno's, which has other ones
 * than Node's. Idle: no request has begun to arrive, and no answer is under way.
 */
export function listOfDeno<Socket>(list: object | undefined): { all(): Socket[]; idle(): Socket[] } | undefined {
  if (list === undefined || !('_all' in list) || !('_active' in list)) return undefined;
  const { _all: all, _active: active } = list as {
    readonly _all: ReadonlySet<Socket>;
    readonly _active: ReadonlyMap<Socket, unknown>;
  };
  return { all: () => [...all], idle: () => [...all].filter((socket) => !active.has(socket)) };
}

/**
 * Calls `last` when an error that nothing handles ends the process. Node and Bun emit `exit` then.
 * Deno emits nothing, so `last` is called for the error itself, if it is certain that the process
 * does not survive it.
 */
export function beforeFatalError(last: () => void): void {
  if (!isDeno) return;
  process.on('uncaughtExceptionMonitor', () => {
    const handled = process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback();
    if (!handled && !hasErrorListeners()) last();
  });
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
