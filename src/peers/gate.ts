import { failed } from '../kernel/kernel.js';
import { credentialsOf, type Credentials, type Judge } from './credentials.js';

/** Node's wrap of a listening socket, and what it does with each connection. */
interface ListeningHandle {
  onconnection?: OnConnection;
}

type OnConnection = (this: ListeningHandle, status: number, client: ConnectionHandle | undefined) => void;

/** Node's wrap of a connection that nobody has seen yet. */
interface ConnectionHandle {
  readonly fd: number;
  close(): void;
}

/** A runtime whose handles are made otherwise (Bun) can't be guarded. */
export function canGuard(handle: object | null): handle is ListeningHandle {
  return handle !== null && typeof (handle as ListeningHandle).onconnection === 'function';
}

/** What we use of Node's server while a rule decides. `tests/peers/allow.test.ts` says when Node changes it. */
interface ListeningServer {
  /** How many connections it has: `close` waits for them. */
  _connections: number;
  _emitCloseIfDrained(): void;
}

/**
 * Lets in only the peers that `judge` accepts. The others are closed before anything of the program sees them: no `connection`, no
 * http `request`, no tls handshake, no diagnostics channel.
 *
 * It stands between libuv and Node's own listener, because every event of the server comes too late for one of them. While an
 * asynchronous rule decides, nothing is read from the peer; the server counts the connection as one of its own, so that one which
 * was accepted before a `close` (a hand-over, say) is served after it, and `close` comes last.
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
    // Outside of the promise: what a listener of the program throws is an uncaught exception, not an unhandled rejection.
    void verdict.then((allowed) => process.nextTick(decideLate, allowed));
  };
}

/** Whatever goes wrong in a rule, and whatever it says but `true`, denies. */
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
