import { lockNameOf } from './lockName.js';
import { socketTypeDefault, type SocketType } from './socketType.js';

/** The names that an address has in its directory. Only `address/` spells them. */
export interface Names {
  readonly socket: string;
  /** The lock file. Only the holder of its lock unlinks it. */
  readonly lock: string;
  /** The name under which `claim/removeIf.ts` sets the socket file aside to examine it. */
  readonly aside: string;
  /**
   * The name for a socket file that bind(2) made in another directory than the pinned one
   * (`claim/bindUnderLock.ts`).
   */
  readonly recalled: string;
  /**
   * The directory in which a runtime binds its own socket, which then gets the name of the address
   * (`claim/publish.ts`).
   */
  readonly private: string;
  /** The socket on which a holder serves handovers. */
  readonly handover: string;
  readonly handoverAside: string;
}

export function namesOf(socket: string): Names {
  const handover = `${socket}.handover`;
  return {
    socket,
    lock: lockNameOf(socket),
    aside: asideOf(socket),
    recalled: `.reuseaddr-recalled.${socket}`,
    private: `${privatePrefix}${socket}`,
    handover,
    handoverAside: asideOf(handover),
  };
}

/** Returns the names of the files that the lock file of an address guards. */
export function guardedNames({ socket, aside, recalled, private: privately, handover, handoverAside }: Names): readonly string[] {
  return [socket, aside, recalled, privately, handover, handoverAside];
}

const privatePrefix = '.reuseaddr-private.';

/**
 * Returns the path of the address whose socket was bound by this name, if it is a name in a private
 * directory.
 */
export function publishedAs(bound: string): string {
  const [directory, above] = bound.split('/').slice(0, -1).toReversed();
  if (above === undefined || directory === undefined || !directory.startsWith(privatePrefix)) return bound;
  const end = bound.lastIndexOf(`/${directory}/`);
  return `${bound.slice(0, end)}/${directory.slice(privatePrefix.length)}`;
}

/**
 * It ends like the socket's own name, so that a pattern such as `*.sock`, by which a watcher or git
 * ignores the socket, matches it too.
 */
function asideOf(name: string): string {
  return `.reuseaddr-aside.${name}`;
}

/**
 * Returns the socket that a name belongs to: `app.sock` for `app.sock.handover`, and for either
 * name while it is set aside.
 */
export function ownerOf(name: string): string {
  return name.replace(/^\.reuseaddr-aside\.(.)/, '$1').replace(/(.)\.handover$/, '$1');
}

/**
 * Returns the abstract name on which the holder of `name` serves handovers. That socket is a stream
 * for each type, and each type is an address of its own, so the name says which.
 */
export function abstractHandover(name: string, type: SocketType = socketTypeDefault): string {
  return type === socketTypeDefault ? `${name}.handover` : `${name}.${type}.handover`;
}
