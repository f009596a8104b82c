/** The type of a Unix socket, as in socket(2) and unix(7). */
export type SocketType = 'stream' | 'datagram' | 'seqpacket';

/**
 * The types: the number of each in socket(2) and SO_TYPE, whether clients connect to it, so that it
 * needs listen(2), and the systems without it. The numbers are the same on every system that Node
 * runs on, except Linux on MIPS.
 */
const types: Readonly<Record<SocketType, Traits>> = {
  stream: { number: 1, connects: true, missingOn: [] },
  datagram: { number: 2, connects: false, missingOn: ['win32'] },
  seqpacket: { number: 5, connects: true, missingOn: ['win32', 'darwin'] },
};

interface Traits {
  readonly number: number;
  readonly connects: boolean;
  /** By the names of `process.platform`. */
  readonly missingOn: readonly string[];
}

export const socketTypes = Object.keys(types) as readonly SocketType[];

export const socketTypeDefault: SocketType = 'stream';

/**
 * Whether clients connect to a socket of this type. If not, they reach it as soon as it is bound,
 * and it has no queue of connections.
 */
export function hasConnections(type: SocketType = socketTypeDefault): boolean {
  return types[type].connects;
}

/** Whether a system has Unix sockets of this type. */
export function isOffered(type: SocketType, platform: string): boolean {
  return !types[type].missingOn.includes(platform);
}

export function numberOfSocketType(type: SocketType = socketTypeDefault): number {
  return types[type].number;
}

/** Returns the type with this number. Undefined: it is none that this package knows. */
export function socketTypeOf(number: number): SocketType | undefined {
  return socketTypes.find((type) => types[type].number === number);
}
