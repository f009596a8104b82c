import type { Server } from 'node:net';
import type { Hold } from './hold.js';

/** What we use of Node's server beyond its documented interface. `tests/server/node.test.ts` says when Node changes it. */
interface InternalServer {
  _handle: { close(callback?: () => void): void } | null;
  /** What `address()` gives for a pipe. */
  _pipeName: string | null;
}

/** Gives a server our listening socket, and ties the claim to the server's handle. */
export async function adopt(server: Server, hold: Hold, address: string, backlog: number): Promise<void> {
  await listenOnDescriptor(server, hold.listenFd, backlog);
  const internal = server as unknown as InternalServer;
  internal._pipeName = address;
  if (internal._handle !== null) surrenderOnClose(internal._handle, hold);
}

/**
 * Releases the claim when the listening handle is closed: not when the server has closed, which waits for its last connection.
 * libuv closes the descriptor before its close returns, so this is the one place where something can be done before and after.
 */
export function surrenderOnClose(handle: { close(callback?: () => void): void }, hold: Hold): void {
  const close = handle.close;
  handle.close = (callback) => hold.surrender(() => close.call(handle, callback));
}

/** The backlog must be given by its position: in an options object beside `fd` Node ignores it, and listen(2)s again with 511. */
function listenOnDescriptor(server: Server, fd: number, backlog: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void): void => {
      server.off('listening', onListening);
      server.off('error', onError);
      end();
    };
    const onListening = (): void => settle(resolve);
    const onError = (error: Error): void => settle(() => reject(error));
    server.once('listening', onListening);
    server.once('error', onError);
    try {
      server.listen({ fd }, backlog);
    } catch (error) {
      onError(error as Error);
    }
  });
}
