/**
 * The part that accepts connections on a claim's listening socket: a server, or a placeholder until
 * there is one.
 */
export interface Acceptor {
  /**
   * Starts to accept. The descriptor is the acceptor's from then on. With `shared`, the holder
   * accepts on the same socket, and stops when this is done.
   *
   * @param address in a form that clients can use after a chdir(2)
   */
  start(fd: number, address: string, shared?: boolean): Promise<void> | void;
  /**
   * Stops, and closes the descriptor, as if it had never started: the claim went back to its
   * holder.
   */
  stop(): void;
  /** Stops, and closes the descriptor. Open connections continue until they end. */
  drain(): void;
}

/** Holds the claim while no server accepts for it. */
export const nobody: Acceptor = { start() {}, stop() {}, drain() {} };
