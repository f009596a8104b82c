import net, { type Server } from 'node:net';
import { tlsOptionsOfBun } from '../kernel/runtime.js';
import { isBun } from '../kernel/runtimeName.js';

/**
 * Whether the server accepts on a descriptor that it is given. All servers of Node and Deno do. On
 * Bun, those of node:http and node:https open a TCP port instead.
 */
export function acceptsDescriptor(server: Server): boolean {
  return !isBun || server instanceof net.Server;
}

/**
 * Returns a server of node:net that accepts for a server that takes no descriptor, and hands each
 * connection over to it. Bun's servers of node:http and node:https open a TCP port instead.
 *
 * It costs about half of the throughput, because Bun then parses HTTP in JavaScript.
 *
 * @throws Error this version of Bun does not tell whether the server is one of TLS
 */
export function relayTo(server: Server): Server {
  const options = tlsOptionsOfBun(server);
  // No other code needs node:tls, which takes longer to load than this package.
  const inner = options === undefined ? net.createServer() : process.getBuiltinModule('node:tls').createServer(options);
  inner.on(options === undefined ? 'connection' : 'secureConnection', (connection) => server.emit('connection', connection));
  if (options !== undefined) inner.on('tlsClientError', (...args) => server.emit('tlsClientError', ...args));
  inner.on('listening', () => server.emit('listening'));
  inner.on('error', (error) => server.emit('error', error));
  inner.on('close', () => server.emit('close'));
  // As Node does it. A drain asks for the newest request of a connection.
  server.prependListener('request', (request: { socket: { parser?: { incoming?: unknown } } }) => {
    if (request.socket.parser !== undefined) request.socket.parser.incoming = request;
  });
  stand(inner, server);
  return inner;
}

/** Makes the server look as if it listened by itself, while the inner one does. */
function stand(inner: Server, server: Server): void {
  const { close, listen, address, ref, unref } = server;
  const methods = {
    address: () => (inner.listening ? inner.address() : address.call(server)),
    close: (callback?: (error?: Error) => void) => {
      if (!inner.listening) return close.call(server, callback);
      if (callback !== undefined) server.once('close', callback);
      inner.close();
      // Closes the idle connections, and ends the timer that looks for slow ones.
      return close.call(server);
    },
    listen: (...args: Parameters<Server['listen']>) => {
      // Throws as Node does.
      if (inner.listening) inner.listen(...args);
      return listen.apply(server, args);
    },
    getConnections: (callback: (error: Error | null, count: number) => void) => {
      inner.getConnections(callback);
      return server;
    },
    ref: () => (inner.ref(), ref.call(server)),
    unref: () => (inner.unref(), unref.call(server)),
  };
  for (const [name, value] of Object.entries(methods))
    Object.defineProperty(server, name, { value, configurable: true, writable: true });
  Object.defineProperty(server, 'listening', { get: () => inner.listening, configurable: true });
}
