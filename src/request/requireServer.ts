import type { Server } from 'node:net';
import { kindOf } from '../errors/kind.js';
import { Mistake } from './mistake.js';

/**
 * Throws if `server` is not a server. The most natural mistake is to pass the application, so the
 * message then says how to write it.
 */
export function requireServer(server: unknown): asserts server is Server {
  if (isServer(server)) return;
  const wrong = `the first argument must be a server of node:net, node:http, node:https, node:http2 or node:tls, and this is ${kindOf(server)}`;
  throw new Mistake('bad-argument', 'ERR_INVALID_ARG_TYPE', { wrong, right: advise(server) });
}

/**
 * Recognises a server by its methods: on Bun, servers of node:http are not instances of net.Server.
 */
function isServer(value: unknown): boolean {
  return typeof value === 'object' && has(value, 'listen', 'close', 'once') && typeof get(value, 'listening') === 'boolean';
}

function advise(value: unknown): string {
  if (typeof value === 'string') return 'write listen(server, address), or claim(address) to listen without a server';
  if (typeof value === 'function') return 'write listen(createServer(app), …) with createServer of node:http';
  if (isServer(get(value, 'server'))) return 'write listen(app.server, …), after await app.ready()';
  if (isServer(get(value, 'httpServer'))) return 'write listen(io.httpServer, …)';
  if (has(value, 'bind', 'addMembership')) return 'write bind(socket, address) for a socket of node:dgram';
  if (has(value, 'getHttpServer')) return 'write listen(app.getHttpServer(), …), after await app.init()';
  if (has(value, 'getRequestHandler')) return 'write listen(createServer(app.getRequestHandler()), …), after await app.prepare()';
  if (has(value, 'callback')) return 'write listen(createServer(app.callback()), …) with createServer of node:http';
  if (has(value, 'fetch')) return 'write listen(createAdaptorServer(app), …) with createAdaptorServer of @hono/node-server';
  if (has(value, 'then')) return 'await it first';
  return 'pass what createServer() gives';
}

function has(value: unknown, ...methods: readonly string[]): boolean {
  return methods.every((method) => typeof get(value, method) === 'function');
}

function get(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  try {
    return (value as Record<string, unknown>)[name];
  } catch {
    return undefined; // A getter that throws belongs to some other object.
  }
}
