import type { Server } from 'node:net';

/** What we use of Node's server beyond its documented interface. `tests/server/cluster.test.ts` says when Node changes it. */
interface InternalServer {
  /** `listen`, after it has understood its arguments. */
  _listen2?(address: null, port: null, addressType: null, backlog: number, fd: number): void;
}

/**
 * Makes a server accept on a listening socket of this process. In a cluster worker, `listen({ fd })` would mean the primary's
 * descriptor of that number, `exclusive` or not.
 *
 * @param backlog Given by its position: in an options object next to `fd` Node ignores it, and listen(2)s again with 511
 */
export function acceptOn(server: Server & InternalServer, fd: number, backlog: number): void {
  if (server._listen2 === undefined) server.listen({ fd }, backlog);
  else server._listen2(null, null, null, backlog, fd);
}
