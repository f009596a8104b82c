import { hasConnections, isOffered, socketTypeDefault, socketTypes, type SocketType } from '../address/socketType.js';
import { show } from '../errors/show.js';
import { kindOf } from '../errors/kind.js';
import { badOption, Mistake } from './mistake.js';

/** The options that need connections, or a server that accepts them. */
interface NeedsConnections {
  readonly type?: SocketType | undefined;
  readonly allow?: unknown;
  readonly backlog?: number | undefined;
}

/**
 * Reads the type of the socket, and refuses options that it cannot have, and a type that this
 * system does not have. Throws a `Mistake`.
 */
export function readSocketType({ type = socketTypeDefault, allow, backlog }: NeedsConnections): SocketType {
  if (!socketTypes.includes(type)) {
    const given = typeof type === 'string' ? `"${show((type as string).slice(0, 20))}"` : kindOf(type);
    throw badOption('type', `must be ${socketTypes.map((each) => `'${each}'`).join(' or ')}, and this is ${given}`);
  }
  if (!isOffered(type, process.platform)) {
    const right = 'use a stream socket, which is the default';
    throw new Mistake('unsupported', 'ENOTSUP', { wrong: `this system has no Unix sockets of type ${type}`, right });
  }
  if (type !== socketTypeDefault && allow !== undefined)
    throw badOption(
      'allow',
      `is for servers of stream connections, and this is a ${type} socket`,
      'use the mode of a socket file',
    );
  if (!hasConnections(type) && backlog !== undefined)
    throw badOption('backlog', `is for connections, and a ${type} socket has none`);
  return type;
}

/**
 * Refuses another type than the one of the caller's server or socket. Throws a `Mistake`.
 *
 * @param instead the function for the others
 */
export function requireType(type: SocketType | undefined, only: SocketType, instead: string): void {
  if (type === undefined || readSocketType({ type }) === only) return;
  throw badOption('type', `must be '${only}' here, and this is '${type}'`, instead);
}
