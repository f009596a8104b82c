import { failed } from '../kernel/kernel.js';
import { credentialsOf, type Credentials, type Judge } from './credentials.js';

/** Node's wrapper of a listening socket. `onconnection` gets each accepted connection. */
interface ListeningHandle {
  onconnection?: OnConnection;
}

type OnConnection = (this: ListeningHandle, status: number, client: ConnectionHandle | undefined) => void;

/** Node's wrapper of a connection that the program has not seen yet. */
interface ConnectionHandle {
  readonly fd: number;
  close(): void;
}

/** Whether this server can be guarded. The handles of Bun are made differently. */
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
  const admit = handle.onconnection;
  if (admit === undefined) return;
  const counter = server as ListeningServer;
  handle.onconnection = function (status, client) {
    if (status !== 0 || client === undefined) return admit.call(this, status, client);
    const peer = credentialsOf(client.fd);
    const decide = (allowed: boolean): void => {
      if (allowed) return admit.call(this, status, client);
      client.close();
      denied(failed(peer) ? undefined : peer);
    };
    const verdict = failed(peer) ? false : ask(judge, peer);
    if (typeof verdict === 'boolean') return decide(verdict);
    const decideLate = (allowed: boolean): void => {
      counter._connections -= 1;
      try {
        decide(allowed);
      } finally {
        counter._emitCloseIfDrained();
      }
    };
    counter._connections += 1;
    // Outside the promise: if a listener of the program throws, that is an uncaught exception, not
    // an unhandled rejection.
    void verdict.then((allowed) => process.nextTick(decideLate, allowed));
  };
}

/** Only `true` admits. Any other answer denies, and so does an error in the rule. */
function ask(judge: Judge, peer: Credentials): boolean | Promise<boolean> {
  try {
    const verdict: unknown = judge(peer);
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
