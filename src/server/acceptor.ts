/** Whatever accepts connections on a claim's listening socket: a server, or nobody yet. */
export interface Acceptor {
  /**
   * Starts to accept. The descriptor is the acceptor's from then on. `shared`: the holder accepts on the same socket, and stops when
   * this is done.
   */
  start(fd: number, shared?: boolean): Promise<void> | void;
  /** Stops, and closes the descriptor, as if it had never started: the claim went back to its holder. */
  takeBack(): void;
  /** Stops, and closes the descriptor. Open connections go on until they end. */
  drain(): void;
}
