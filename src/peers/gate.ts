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

/**
 * Lets in only the peers that `judge` accepts. The others are closed before anything of the program sees them: no `connection`, no
 * http `request`, no tls handshake, no diagnostics channel.
 *
 * It stands between libuv and Node's own listener, because every event of the server comes too late for one of them.
 */
export function guard(handle: ListeningHandle, judge: Judge, refused: (peer: Credentials | undefined) => void): void {
  const admit = handle.onconnection;
  if (admit === undefined) return;
  handle.onconnection = function (status, client) {
    if (status !== 0 || client === undefined) return admit.call(this, status, client);
    const peer = credentialsOf(client.fd);
    const decide = (allowed: boolean): void => {
      if (allowed) return admit.call(this, status, client);
      client.close();
      refused(failed(peer) ? undefined : peer);
    };
    const verdict = failed(peer) ? false : ask(judge, peer);
    if (typeof verdict === 'boolean') decide(verdict);
    else void verdict.then(decide);
  };
}

/** Whatever goes wrong in a rule, and whatever it says but `true`, refuses. */
function ask(judge: Judge, peer: Credentials): boolean | Promise<boolean> {
  try {
    const verdict: unknown = judge(peer);
    if (!(verdict instanceof Promise)) return verdict === true;
    return verdict.then(
      (late: unknown) => late === true,
      () => false,
    );
  } catch {
    return false;
  }
}
