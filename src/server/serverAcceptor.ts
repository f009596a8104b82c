import type { Server } from 'node:net';
import { acceptOn } from '../handover/acceptOn.js';
import { Descriptor } from '../kernel/descriptor.js';
import { closeMethod, nameServer } from '../kernel/runtime.js';
import type { Credentials, Judge } from '../peers/credentials.js';
import { canGuard, guard } from '../peers/guard.js';
import { OwnedAcceptor } from './ownedAcceptor.js';
import { drain, trackSessions } from './drain.js';
import type { Pending } from './pending.js';
import { acceptsDescriptor, relayTo } from './relay.js';

/**
 * The internals of Node's server in use here. `tests/long/runtimes.test.ts` fails when Node changes
 * them.
 */
interface InternalServer {
  _handle: Handle | null;
  /** The result of `address()` for a pipe. */
  _pipeName: string | null;
}

/** It has the one of these that `closeMethod` names. */
export interface Handle {
  close?(callback?: () => void): void;
  stop?(callback?: () => void): void;
}

/** A server that accepts the connections of a claim. */
export class ServerAcceptor extends OwnedAcceptor {
  /** The server that accepts: the program's, or an inner one. */
  #server: Server & InternalServer;
  readonly #backlog: number;
  readonly #judge: Judge | undefined;
  readonly #pending: Pending;
  readonly #deniedEarly: (Credentials | undefined)[] = [];
  #denied = (peer: Credentials | undefined): void => void this.#deniedEarly.push(peer);
  #sayClosed = (): void => undefined;
  readonly #closes = new Promise<void>((resolve) => {
    this.#sayClosed = resolve;
  });
  #closeHandle = (): void => undefined;

  constructor(pending: Pending) {
    super();
    const { terms, judge } = pending.request;
    this.#server = pending.owner as Server & InternalServer;
    this.#backlog = terms.backlog;
    this.#judge = judge;
    this.#pending = pending;
  }

  /**
   * Called with each denied peer; undefined if it had gone already. The denied peers of a handover,
   * before there is a claim, are reported at once.
   */
  set onDenied(listener: (peer: Credentials | undefined) => void) {
    this.#denied = listener;
    this.#deniedEarly.splice(0).forEach(listener);
  }

  override async start(fd: number, address: string, shared = false): Promise<void> {
    this.#pending.throwIfCancelled();
    this.#pending.end();
    if (!acceptsDescriptor(this.#server)) this.#server = relayTo(this.#pending.owner) as Server & InternalServer;
    const server = this.#server;
    const listening = listenOnDescriptor(server, fd, this.#backlog);
    // Before the 'listening' listeners of the program ask for it.
    nameServer(server, address);
    if (this.#judge !== undefined) this.#guard(this.#judge);
    // Before they can close the server.
    if (server._handle !== null)
      this.#closeHandle = wrapClose(server._handle, Descriptor.at(fd), (closeHandle) => this.closing(closeHandle));
    if ('updateSettings' in server) trackSessions(server);
    // A server that is closed in this very turn never emits 'listening'.
    await Promise.race([listening, this.#closes]);
    // The holder has not stopped yet, and now need not.
    if (shared && this.closed) throw this.#pending.closed();
  }

  /**
   * Guards the server. No connection is accepted before the event loop turns, so no peer slips in.
   */
  #guard(judge: Judge): void {
    const { _handle: handle } = this.#server;
    if (canGuard(handle)) guard(this.#server, handle, judge, (peer) => this.#denied(peer));
    else if (handle !== null) throw new Error('This runtime does not let us see a peer before the program does.');
  }

  protected override closing(closeHandle: () => void): void {
    this.#sayClosed();
    super.closing(closeHandle);
  }

  override stop(): void {
    this.#closeHandle();
    this.#server._handle = null;
    this.#pending.begin();
  }

  override drain(): void {
    drain(this.#server, this.#pending.owner);
  }
}

/**
 * Runs code around the close of a listening handle. The handle is closed when the server stops
 * listening. The server itself closes later, after its last connection. libuv closes the descriptor
 * before its close returns, so there is a before and an after.
 *
 * The handle owns the descriptor from now on. Returns the original close.
 */
export function wrapClose(
  handle: Handle,
  descriptor: Descriptor | undefined,
  around: (closeHandle: () => void) => void,
): () => void {
  const close = handle[closeMethod];
  const closeHandle = (callback?: () => void): void => {
    close?.call(handle, callback);
    descriptor?.closed();
  };
  handle[closeMethod] = (callback) => around(() => closeHandle(callback));
  descriptor?.lend(closeHandle);
  return closeHandle;
}

function listenOnDescriptor(server: Server, fd: number, backlog: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void): void => {
      server.off('listening', onListening);
      server.off('error', onError);
      end();
    };
    const onListening = (): void => settle(resolve);
    const onError = (error: Error): void => settle(() => reject(error));
    // Before the listeners of the program: if one throws, those behind it are not called.
    server.prependOnceListener('listening', onListening);
    server.prependOnceListener('error', onError);
    try {
      acceptOn(server, fd, backlog);
    } catch (error) {
      onError(error as Error);
    }
  });
}
