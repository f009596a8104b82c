import { failed } from '../kernel/kernel.js';
import { dropConnection, keepConnection, listenerOfDeno } from '../kernel/runtime.js';
import { isDeno } from '../kernel/runtimeName.js';
import { credentialsOf, type Credentials, type Judge } from './credentials.js';

/** Node's wrapper of a listening socket. `onconnection` gets each accepted connection. */
interface ListeningHandle {
  onconnection?: OnConnection;
}

type OnConnection = (this: ListeningHandle, status: number, client: ConnectionHandle | undefined) => void;

/** On Deno the listener accepts by itself. */
interface AcceptingHandle extends ListeningHandle {
  readonly constructor: new (socketType: number) => ConnectionHandle;
  accept(client: ConnectionHandle): number;
}

/** Node's wrapper of a connection that the program has not seen yet. */
interface ConnectionHandle {
  readonly fd: number;
  close(): void;
}

/** Whether this server can be guarded. */
export function canGuard(handle: object | null): handle is ListeningHandle {
  return handle !== null && typeof (handle as ListeningHandle).onconnection === 'function';
}

/**
 * The internals of Node's server that are in use while a rule decides. `tests/peers/allow.test.ts`
 * fails when Node changes them.
 */
interface ListeningServer {
  /** The number of open connections: `close` waits for them. */
  _connections: number;
  _emitCloseIfDrained(): void;
}

/**
 * Lets in only the peers that `judge` accepts. Closes the others before the program sees anything
 * of them: no `connection`, no http `request`, no tls handshake, no diagnostics channel.
 *
 * The gate stands between libuv and Node's own listener, because each event of the server comes too
 * late for one of these. While an asynchronous rule decides, nothing is read from the peer. The
 * server counts the connection as its own. So a connection that was accepted before a `close`
 * (during a handover, say) is served after it, and the event `close` comes last.
 */
export function guard(
  server: object,
  handle: ListeningHandle,
  judge: Judge,
  denied: (peer: Credentials | undefined) => void,
): void {
  const admit = isDeno ? (listenerOfDeno() as OnConnection) : handle.onconnection;
  if (admit === undefined) return;
  handle.onconnection = function (result, accepted) {
    const { status, client } =
      isDeno && result === 0 ? acceptOnDeno(this as AcceptingHandle) : { status: result, client: accepted };
    if (status !== 0 || client === undefined) return admit.call(this, status, client);
    const verdict = ask(judge, client.fd);
    if (verdict === true) return admit.call(this, status, client);
    const peer = credentialsOf(client.fd);
    const deny = (): void => {
      dropConnection(client);
      denied(failed(peer) ? undefined : peer);
    };
    if (verdict === false) return deny();
    decideLater(server as ListeningServer, client, verdict, (allowed) => {
      if (allowed) admit.call(this, status, client);
      else deny();
    });
  };
}

function decideLater(
  server: ListeningServer,
  client: ConnectionHandle,
  verdict: Promise<boolean>,
  decide: (allowed: boolean) => void,
): void {
  server._connections += 1;
  const release = keepConnection(client);
  const decideNow = (allowed: boolean): void => {
    server._connections -= 1;
    try {
      if (allowed) release(() => decide(true));
      else decide(false);
    } finally {
      server._emitCloseIfDrained();
    }
  };
  // Outside the promise: if a listener of the program throws, that is an uncaught exception, not an
  // unhandled rejection.
  void verdict.then((allowed) => process.nextTick(decideNow, allowed));
}

function acceptOnDeno(handle: AcceptingHandle): { status: number; client: ConnectionHandle | undefined } {
  const client = new handle.constructor(socketOfPipe);
  const status = handle.accept(client);
  return { status, client: status === 0 ? client : undefined };
}

/** The constant `SOCKET` of Node's pipe_wrap. */
const socketOfPipe = 0;

/** Only `true` admits. Any other answer denies, and so does an error in the rule. */
function ask(judge: Judge, connection: number): boolean | Promise<boolean> {
  try {
    const verdict: unknown = judge(connection);
    if (!isThenable(verdict)) return verdict === true;
    return Promise.resolve(verdict).then(
      (late) => late === true,
      () => false,
    );
  } catch {
    return false;
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
