import type { Server } from 'node:net';
import { listenerOfDeno, tlsOptionsOfBun } from '../kernel/runtime.js';
import { isDeno } from '../kernel/runtimeName.js';
import { Mistake } from '../request/mistake.js';
import type { Request } from '../request/readRequest.js';
import { nobody } from './acceptor.js';
import { beginAttempt, endAttempt } from './attempt.js';
import { Claim } from './claim.js';
import { mayInherit } from './inherit.js';
import { acquireHold } from './acquireHold.js';
import type { Pending } from './pending.js';
import { PrivateName } from './privateName.js';
import { acceptsDescriptor } from './relay.js';

/**
 * Whether the runtime itself shall listen on the path. It is the fastest way for a server that
 * takes no descriptor, as long as no option needs one.
 */
export function listensByName({ owner: server, request }: Pending): boolean {
  const { judge, takeoverMs, handover, rebind } = request;
  if (acceptsDescriptor(server) || judge !== undefined || takeoverMs !== undefined || handover || rebind) return false;
  const attempt = beginAttempt(request);
  try {
    return !mayInherit(attempt.target);
  } finally {
    endAttempt(attempt);
  }
}

/** Refuses options that this runtime would not keep. Throws a `Mistake`. */
export function requireSupported(server: Server, { judge }: Request): void {
  try {
    if (judge !== undefined && isDeno) listenerOfDeno();
    if (!acceptsDescriptor(server)) tlsOptionsOfBun(server);
  } catch (error) {
    throw new Mistake('unsupported', 'ENOTSUP', {
      wrong: (error as Error).message,
      right: 'use an older version of it, or Node.js',
    });
  }
}

/**
 * Makes the runtime itself listen, under the claim: for a server that takes no descriptor.
 *
 * The claim is made as usual, so every obstacle is found, and a dead socket is removed. Its own
 * socket does not listen, and keeps the name until the runtime has bound its own socket under a
 * private name. Then that gets the name, with the requested mode. All of this happens under the
 * lock.
 */
export async function listenByName(pending: Pending): Promise<Claim> {
  const { owner: server, request } = pending;
  const hold = await acquireHold({ ...request, terms: { ...request.terms, listens: false } }, nobody);
  pending.end();
  let named: PrivateName | undefined;
  const end = (close?: () => void): void =>
    hold.release(() => {
      close?.();
      hold.closeSocket();
      named?.close();
    });
  try {
    pending.throwIfCancelled();
    named = new PrivateName(hold);
    const listening = listenOnPath(server, named.path);
    // Bun has bound by now, or fails in the next tick.
    if (!server.listening) await listening;
    named.publish();
    // Before the 'listening' listeners of the program ask for it.
    standFor(server, hold.address);
    await listening;
  } catch (error) {
    end(() => server.close());
    throw error;
  }
  const close = server.close;
  server.close = (callback) => {
    end(() => close.call(server, callback));
    return server;
  };
  // A listener of 'listening' closed it before this line.
  if (!server.listening) end();
  return new Claim(hold, () => {
    if (!hold.released && server.listening) server.close();
  });
}

function standFor(server: Server, address: string): void {
  const own = server.address;
  Object.defineProperty(server, 'address', {
    value: () => (server.listening ? address : own.call(server)),
    configurable: true,
    writable: true,
  });
}

function listenOnPath(server: Server, path: string): Promise<void> {
  const listening = new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
  // The caller may fail before it waits for this.
  listening.catch(() => undefined);
  return listening;
}
