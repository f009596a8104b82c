import { Server as NetServer, type Server } from 'node:net';
import { clearTimeout, setTimeout } from '../kernel/clock.js';
import { drainHttp } from './drainHttp.js';

interface Http2Session {
  close(): void;
  once(event: 'close', listener: () => void): void;
  prependOnceListener(event: 'stream', listener: () => void): void;
}

/** How long a session waits for a request that its client may just be sending, in milliseconds. */
const idleMs = 1000;

/**
 * Stops accepting, and lets every connection come to its own end.
 *
 * `http.Server.close()` will not do: it resets kept-alive connections on which a client may just be
 * sending a request (and on Node 26 also new ones that have sent none yet). Instead, the last
 * answer of a connection says `Connection: close`, and a connection that has been idle for a second
 * is closed: see `drainHttp`, and `closeSession` for http2. A connection that was upgraded
 * (WebSocket), or that never was HTTP, is left to the program.
 *
 * @param front the server that the program has, if `server` accepts for it
 */
export function drain(server: Server, front = server): void {
  NetServer.prototype.close.call(server);
  drainHttp(front);
  draining.add(server);
  server.once('listening', () => draining.delete(server));
  for (const session of sessions.get(server) ?? []) closeSession(session);
}

/**
 * Closes an http2 session at its next request, or after a second. The client then waits for an
 * answer, and learns about the close before it sends another request.
 *
 * A request that crosses the GOAWAY fails at the client as REFUSED_STREAM. The server has not seen
 * it, so the client may retry it (RFC 9113, section 8.7). Node cannot send a GOAWAY that only
 * announces the end (section 6.8): after any GOAWAY, nghttp2 silently drops further requests.
 */
function closeSession(session: Http2Session): void {
  const close = (): void => {
    clearTimeout(timer);
    session.close();
  };
  const timer = setTimeout(close, idleMs).unref();
  session.prependOnceListener('stream', close);
}

/** The servers that accept no more. */
const draining = new WeakSet<Server>();

const sessions = new WeakMap<Server, Set<Http2Session>>();

/** Notes the sessions of an http2 server. Node 20 and 22 never close these by themselves. */
export function trackSessions(server: Server): void {
  if (sessions.has(server)) return;
  const open = new Set<Http2Session>();
  sessions.set(server, open);
  server.on('session', (session: Http2Session) => {
    open.add(session);
    session.once('close', () => open.delete(session));
    // Its connection was accepted before the drain.
    if (draining.has(server)) closeSession(session);
  });
}
