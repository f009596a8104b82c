import { Server as NetServer, type Server } from 'node:net';
import { clearTimeout, setTimeout } from '../kernel/clock.js';
import { drainHttp } from './drainHttp.js';

interface Http2Session {
  close(): void;
  once(event: 'close', listener: () => void): void;
  prependOnceListener(event: 'stream', listener: () => void): void;
}

/** How long a session has to bring the request that its client may be sending just now. */
const idleMs = 1000;

/**
 * Stops accepting, and lets every connection come to its own end.
 *
 * Not by `http.Server.close()`: it resets kept-alive connections on which a client may be sending a request just now (and on Node 26
 * also fresh ones that have sent none yet). Instead the last answer of a connection says `Connection: close`, and one that has been
 * idle for a second is closed: see `drainHttp`, and `closeSession` for http2. A connection that was upgraded (WebSocket), or that
 * never was HTTP, is the program's.
 */
export function drain(server: Server): void {
  NetServer.prototype.close.call(server);
  drainHttp(server);
  draining.add(server);
  server.once('listening', () => draining.delete(server));
  for (const session of sessions.get(server) ?? []) closeSession(session);
}

/**
 * Closes an http2 session as its next request comes, or after a second: so that its client, who waits for an answer then, is told
 * before it sends another. A request that crosses the GOAWAY all the same fails there as REFUSED_STREAM; nobody has seen it, and it
 * may be made again (RFC 9113, section 8.7). A GOAWAY that only announces the end (section 6.8) is not to be had in Node: after any
 * that it sends, nghttp2 drops what comes without a word.
 */
function closeSession(session: Http2Session): void {
  const close = (): void => {
    clearTimeout(timer);
    session.close();
  };
  const timer = setTimeout(close, idleMs).unref();
  session.prependOnceListener('stream', close);
}

/** Those that accept no more. */
const draining = new WeakSet<Server>();

const sessions = new WeakMap<Server, Set<Http2Session>>();

/** Notes the sessions of an http2 server, which Node 20 and 22 never close by themselves. */
export function trackSessions(server: Server): void {
  if (sessions.has(server)) return;
  const open = new Set<Http2Session>();
  sessions.set(server, open);
  server.on('session', (session: Http2Session) => {
    open.add(session);
    session.once('close', () => open.delete(session));
    if (draining.has(server)) closeSession(session); // Of a connection that was accepted before.
  });
}
