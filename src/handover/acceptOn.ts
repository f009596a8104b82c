import type { Server } from 'node:net';
import { kernel } from '../kernel/posix.js';
import { isBun, isDeno } from '../kernel/runtimeName.js';

/** The part of Node's server in use here that is not documented. */
interface InternalServer {
  /** `listen`, after it has understood its arguments. */
  _listen2?(address: null, port: null, addressType: null, backlog: number, fd: number): void;
}

/**
 * Makes a server accept on a listening socket of this process. In a cluster worker,
 * `listen({ fd })` would mean the primary's descriptor with that number, `exclusive` or not.
 *
 * @param backlog Passed by its position: in an options object with `fd`, Node ignores it, and calls
 * listen(2) again with 511. Node does the same for 0, and Bun and Deno use other numbers.
 */
export function acceptOn(server: Server & InternalServer, fd: number, backlog: number): void {
  if (server._listen2 === undefined) server.listen({ fd, exclusive: true });
  else server._listen2(null, null, null, backlog, fd);
  if (backlog === 0 || isBun || isDeno) kernel.listen(fd, backlog);
}
