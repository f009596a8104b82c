import net from 'node:net';

/**
 * A path of this many characters always fits a socket address: 107 bytes, and at most three for
 * each.
 */
const charactersShort = 35;
const bytesMax = 107;

type Connect = (this: net.Socket, ...args: unknown[]) => net.Socket;

/**
 * Calls `prepare` before each connection of this thread to a path that is too long for a socket
 * address.
 */
export function beforeLongConnections(prepare: () => void): void {
  const prototype = net.Socket.prototype as unknown as { connect: Connect };
  const { connect } = prototype;
  const prepared: Connect = function (...args) {
    if (isLong(args[0])) prepare();
    return connect.apply(this, args);
  };
  prototype.connect = Object.defineProperties(prepared, { name: { value: connect.name }, length: { value: connect.length } });
}

/**
 * Whether the arguments of `connect` name a long path: they are a path, options, or (from node:net
 * itself) a list of these and a callback.
 */
function isLong(first: unknown): boolean {
  if (typeof first === 'string') return first.length > charactersShort && Buffer.byteLength(first) > bytesMax;
  if (typeof first !== 'object' || first === null) return false;
  return isLong(Array.isArray(first) ? first[0] : (first as { path?: unknown }).path);
}
