/** The names of an address in its directory. They are spelled here, and nowhere else. */
export interface Names {
  readonly socket: string;
  /** The lock file: created once, never unlinked. */
  readonly lock: string;
  /** Where the socket file is put while it is judged (`claim/take.ts`). */
  readonly aside: string;
  /** Where a socket file of ours is put that bind(2) made in another directory than the pinned one (`claim/bind.ts`). */
  readonly recalled: string;
  /** The socket on which a holder serves handovers. */
  readonly handover: string;
  readonly handoverAside: string;
}

export function namesOf(socket: string): Names {
  const handover = `${socket}.handover`;
  return {
    socket,
    lock: `${socket}.lock`,
    aside: asideOf(socket),
    recalled: `.${socket}.reuseaddr-recalled`,
    handover,
    handoverAside: asideOf(handover),
  };
}

function asideOf(name: string): string {
  return `.${name}.reuseaddr-aside`;
}

/** The socket that a name belongs to: `app.sock` for `app.sock.handover`, and for either name while it is set aside. */
export function ownerOf(name: string): string {
  return name.replace(/^\.(.+)\.reuseaddr-aside$/, '$1').replace(/(.)\.handover$/, '$1');
}

/** The abstract name on which the holder of another one serves handovers. */
export function abstractHandover(name: string): string {
  return `${name}.handover`;
}
