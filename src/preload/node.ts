import net, { type Server } from 'node:net';

/**
 * What we use of node:net beyond its documented interface, the same in Node 20 to 26. `tests/preload/differential.test.ts` says
 * when Node changes it.
 */
export interface NodeServer extends Server {
  _handle: ListeningHandle | null;
  /** One more with every `listen` and `close`: an asynchronous start that finds another number than its own was called off. */
  _listeningId: number;
  /** Binds and listens: overloads, the callback, the signal and node:cluster are done by then. Called for us by `Server.listen`. */
  _listen2: Listen2;
}

export type Listen2 = (
  this: NodeServer,
  address: string | null,
  port: number | null,
  addressType: number | null,
  backlog: number | false | undefined,
  fd?: number,
  flags?: number,
) => void;

export interface ListeningHandle {
  close(callback?: () => void): void;
  /** chmod(2) of the socket file, for `readableAll` (1) and `writableAll` (2). Gives 0 or a negative errno. */
  fchmod(mode: number): number;
}

/** Binds, and listens not yet: gives the handle, or a negative errno. node:cluster's primary calls it under SCHED_NONE. */
export type CreateServerHandle = (
  address: string | null,
  port: number | null,
  addressType: number | null,
  fd?: number,
  flags?: number,
) => ListeningHandle | number;

export interface NodeNet {
  _createServerHandle: CreateServerHandle;
}

/** The mutable module, which node:cluster uses as well. */
export const nodeNet: NodeNet = net as unknown as NodeNet;

export const serverPrototype: NodeServer = net.Server.prototype as NodeServer;

/** How node:net says "a path" where it could be a port: both numbers are -1. */
export function isPath(address: string | null, port: number | null, addressType: number | null, fd?: number): address is string {
  return typeof address === 'string' && address !== '' && port === -1 && addressType === -1 && typeof fd !== 'number';
}
