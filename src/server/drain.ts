import { Server as NetServer, type Server } from 'node:net';

/** The parts of node:http and node:http2 that a drain concerns. */
interface HttpServer extends Server {
  closeIdleConnections?(): void;
}

interface Http2Session {
  readonly closed: boolean;
  close(): void;
  goaway(code: number, lastStreamId: number): void;
  once(event: 'close', listener: () => void): void;
}

/** How long a kept-alive connection has to bring the request that its client may be sending just now. */
const idleMs = 1000;

/**
 * Stops accepting, and lets every connection come to its own end.
 *
 * Not by `http.Server.close()`: it resets kept-alive connections on which a client may be sending a request just now (and on Node 26
 * also fresh ones that have sent none yet). Instead every answer from here on says `Connection: close`, and what is idle still is
 * closed a second later. A session of http2 is told to end, likewise.
 */
export function drain(server: Server): void {
  NetServer.prototype.close.call(server);
  const { closeIdleConnections } = server as HttpServer;
  if (closeIdleConnections !== undefined) {
    server.prependListener('request', (_request, response: { shouldKeepAlive: boolean }) => {
      response.shouldKeepAlive = false;
    });
    setTimeout(() => closeIdleConnections.call(server), idleMs).unref();
  }
  for (const session of sessions.get(server) ?? []) closeGracefully(session);
}

/**
 * First the client is told to make no more requests, without harm to those that are on their way: with a close at once they would be
 * refused. RFC 9113, section 6.8.
 *
 * A client may have a request that it has not sent yet. It takes that back by itself, as REFUSED_STREAM, and may make it again.
 */
function closeGracefully(session: Http2Session): void {
  if (session.closed) return;
  session.goaway(noError, lastStreamIdMax);
  setTimeout(() => {
    if (!session.closed) session.close();
  }, idleMs).unref();
}

const noError = 0;
const lastStreamIdMax = 2 ** 31 - 1;

const sessions = new WeakMap<Server, Set<Http2Session>>();

/** Notes the sessions of an http2 server, which Node 20 and 22 never close by themselves. */
export function trackSessions(server: Server): void {
  if (sessions.has(server)) return;
  const open = new Set<Http2Session>();
  sessions.set(server, open);
  server.on('session', (session: Http2Session) => {
    open.add(session);
    session.once('close', () => open.delete(session));
  });
}
