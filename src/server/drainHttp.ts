import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Server, Socket } from 'node:net';
import { clearTimeout, setImmediate, setTimeout } from '../kernel/clock.js';

/** A connection is idle for a second before we close it: for so long its client may be sending a request just now. */
const lookMs = 250;
const idleLooks = 4;

/** What we use of node:http beyond its documented interface. `tests/handover/drain.test.ts` says when Node changes it. */
interface HttpSocket extends Socket {
  /** The answer that is being sent. */
  readonly _httpMessage?: Answer | null;
  readonly parser?: Parser | null;
}

interface Parser {
  readonly socket?: HttpSocket | null;
  /** The newest request of the connection. Its answer may be in the queue behind that of an older one. */
  readonly incoming?: unknown;
}

/** The part of ServerResponse that a drain concerns. */
interface Answer {
  readonly req: unknown;
  readonly headersSent: boolean;
  shouldKeepAlive: boolean;
  once(event: 'finish', listener: () => void): void;
}

/** The connections that speak HTTP/1: an upgraded one is not among them. */
interface Connections {
  all(): readonly Parser[];
  /** Those on which no request has begun to arrive. They may be waiting for an answer all the same. */
  idle(): readonly Parser[];
}

const requestStart = 'http.server.request.start';

/** Lets the HTTP/1 connections of a server that accepts no more come to their end. Does nothing for other servers. */
export function drainHttp(server: Server): void {
  const connections = connectionsOf(server);
  if (connections === undefined) return;
  const draining = new Drain(connections);
  const onRequest = (message: unknown): void => {
    const { server: asked, socket, response } = message as { server: unknown; socket: HttpSocket; response: Answer };
    if (asked === server) draining.announce(socket, response);
  };
  subscribe(requestStart, onRequest);
  const stop = (): void => {
    unsubscribe(requestStart, onRequest);
    draining.stop();
    server.off('close', stop);
    server.off('listening', stop);
  };
  server.on('close', stop);
  // The program has it listen elsewhere.
  server.on('listening', stop);
}

function connectionsOf(server: Server): Connections | undefined {
  const key = Object.getOwnPropertySymbols(server).find(({ description }) => description === 'http.server.connections');
  return key === undefined ? undefined : (server as unknown as Record<symbol, Connections>)[key];
}

/** Says `Connection: close` with the last answer of each connection, and closes those that are idle. */
class Drain {
  readonly #connections: Connections;
  /** The answer of each connection that says that it is the last one. */
  readonly #last = new WeakMap<HttpSocket, Answer>();
  #idle = new Map<HttpSocket, { readonly looks: number; readonly bytesRead: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(connections: Connections) {
    this.#connections = connections;
    for (const { socket } of connections.all()) if (socket) this.#announceNewest(socket);
    this.#look();
  }

  /**
   * The answers to requests that have come already. After one that says `Connection: close`, Node drops all that are queued behind
   * it, so only the newest may say so. Those in the queue can't be seen; we wait until it is their turn.
   */
  #announceNewest(socket: HttpSocket): void {
    const answer = socket._httpMessage;
    if (!answer) return;
    if (answer.req === socket.parser?.incoming) this.announce(socket, answer);
    else answer.once('finish', () => this.#announceNewest(socket));
  }

  announce(socket: HttpSocket, answer: Answer): void {
    const before = this.#last.get(socket);
    // The client has sent one more before it could know. The answer before is not the last one any more, if it has not said so yet.
    if (before !== undefined && !before.headersSent) before.shouldKeepAlive = true;
    if (answer.headersSent || !answer.shouldKeepAlive) return;
    answer.shouldKeepAlive = false;
    this.#last.set(socket, answer);
  }

  /**
   * Closes what has been idle at every look of the last second. Again and again, because an answer whose head was sent before
   * the handover leaves a connection that its client keeps.
   */
  #look(): void {
    const before = this.#idle;
    this.#idle = new Map();
    for (const socket of this.#idleSockets()) {
      const { bytesRead } = socket;
      const seen = before.get(socket);
      const looks = seen?.bytesRead === bytesRead ? seen.looks + 1 : 0;
      this.#idle.set(socket, { looks, bytesRead });
    }
    // When the event loop was blocked, timers come first, and then what clients have sent meanwhile.
    setImmediate(() => this.#closeIdle());
    this.#timer = setTimeout(() => this.#look(), lookMs).unref();
  }

  #closeIdle(): void {
    for (const socket of this.#idleSockets()) {
      const seen = this.#idle.get(socket);
      if (seen !== undefined && seen.looks >= idleLooks && seen.bytesRead === socket.bytesRead) socket.destroy();
    }
  }

  /** Those that have neither a request nor an answer under way, and those that have sent nothing at all. */
  #idleSockets(): HttpSocket[] {
    const idle = new Set(this.#connections.idle());
    const free = (parser: Parser): boolean => idle.has(parser) || parser.socket?.bytesRead === 0;
    return this.#connections
      .all()
      .filter(free)
      .map(({ socket }) => socket)
      .filter((socket): socket is HttpSocket => !!socket && !socket._httpMessage);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
