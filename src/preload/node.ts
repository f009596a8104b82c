import net, { type Server } from 'node:net';

/**
 * The internals of node:net in use here, the same in Node 20 to 26.
 * `tests/preload/differential.test.ts` fails when Node changes them.
 */
export interface NodeServer extends Server {
  _handle: ListeningHandle | null;
  /**
   * Counts each `listen` and `close`. An asynchronous start that finds another number than its own
   * was cancelled.
   */
  _listeningId: number;
  /**
   * Binds and listens. `Server.listen` calls it after overloads, the callback, the signal and
   * node:cluster.
   */
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
  /**
   * chmod(2) of the socket file, for `readableAll` (1) and `writableAll` (2). Returns 0 or a
   * negative errno.
   */
  fchmod(mode: number): number;
}

/**
 * Binds without listening. Returns the handle, or a negative errno. The primary of node:cluster
 * calls it under SCHED_NONE.
 */
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

/** The mutable module, which node:cluster uses too. */
export const nodeNet: NodeNet = net as unknown as NodeNet;

export const serverPrototype: NodeServer = net.Server.prototype as NodeServer;

/** Whether the arguments mean a path instead of a port: in node:net both numbers are then -1. */
export function isPath(address: string | null, port: number | null, addressType: number | null, fd?: number): address is string {
  return typeof address === 'string' && address !== '' && port === -1 && addressType === -1 && typeof fd !== 'number';
}
