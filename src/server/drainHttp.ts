import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Server, Socket } from 'node:net';
import { clearTimeout, setImmediate, setTimeout } from '../kernel/clock.js';
import { httpConnections } from '../kernel/runtime.js';
import { isBun } from '../kernel/runtimeName.js';

/**
 * The interval of the looks. A connection is closed after a second of idleness: until then its
 * client may just be sending a request.
 */
const lookMs = 250;
const idleLooks = 4;

/**
 * The internals of node:http in use here. `tests/handover/drain.test.ts` fails when Node changes
 * them.
 */
interface HttpSocket extends Socket {
  /** The answer that is being sent. */
  readonly _httpMessage?: Answer | null;
  readonly parser?: Parser | null;
}

interface Parser {
  readonly socket?: HttpSocket | null;
  /** The newest request of the connection. Its answer may be queued behind that of an older one. */
  readonly incoming?: unknown;
}

/** The part of ServerResponse that a drain uses. */
interface Answer {
  readonly req: unknown;
  readonly headersSent: boolean;
  shouldKeepAlive: boolean;
  /** The head, as it will be sent. */
  _header: string | null;
  /** Whether the connection is closed after it. */
  _last: boolean;
  /** Makes the head. */
  _storeHeader(firstLine: string, headers: unknown): void;
  once(event: 'finish', listener: () => void): void;
}

/** The connections that speak HTTP/1, without upgraded ones. */
interface Connections {
  all(): readonly Parser[];
  /** Those on which no request has begun to arrive. They may still wait for an answer. */
  idle(): readonly Parser[];
}

const requestStart = 'http.server.request.start';

/**
 * Lets the HTTP/1 connections of a server that accepts no more come to their end. Does nothing for
 * other servers.
 */
export function drainHttp(server: Server): void {
  const connections = connectionsOf(server);
  if (connections === undefined) return;
  const draining = new Drain(connections);
  const unsubscribeFromRequests = onRequest(server, (socket, answer) => draining.announce(socket, answer));
  const stop = (): void => {
    unsubscribeFromRequests();
    draining.stop();
    server.off('close', stop);
    server.off('listening', stop);
  };
  server.on('close', stop);
  // The program makes it listen elsewhere.
  server.on('listening', stop);
}

/** Calls `tell` with each request, before the program. Returns a function that ends this. */
function onRequest(server: Server, tell: (socket: HttpSocket, answer: Answer) => void): () => void {
  if (isBun) {
    const listener = ({ socket }: { readonly socket: HttpSocket }, answer: Answer): void => tell(socket, answer);
    server.prependListener('request', listener);
    return () => server.off('request', listener);
  }
  const subscriber = (message: unknown): void => {
    const { server: asked, socket, response } = message as { server: unknown; socket: HttpSocket; response: Answer };
    if (asked === server) tell(socket, response);
  };
  subscribe(requestStart, subscriber);
  return () => void unsubscribe(requestStart, subscriber);
}

function connectionsOf(server: Server): Connections | undefined {
  const others = httpConnections<HttpSocket>(server);
  if (others !== undefined) {
    const parsers = (sockets: readonly HttpSocket[]): Parser[] => sockets.map((socket) => socket.parser ?? { socket });
    return { all: () => parsers(others.all()), idle: () => parsers(others.idle()) };
  }
  const key = Object.getOwnPropertySymbols(server).find(({ description }) => description === 'http.server.connections');
  return key === undefined ? undefined : (server as unknown as Record<symbol, Connections>)[key];
}

/**
 * Says `Connection: close` with the last answer of each connection, and closes idle connections.
 */
class Drain {
  readonly #connections: Connections;
  /** The answer of each connection that announces to be the last one. */
  readonly #last = new WeakMap<HttpSocket, Answer>();
  #idle = new Map<HttpSocket, { readonly looks: number; readonly bytesRead: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(connections: Connections) {
    this.#connections = connections;
    for (const { socket } of connections.all()) if (socket) this.#announceNewest(socket);
    this.#look();
  }

  /**
   * Announces the end with the newest answer.
   *
   * After an answer that says `Connection: close`, Node drops all that are queued behind it, so
   * only the newest may say so. Answers in the queue are invisible; each is handled when its turn
   * comes.
   */
  #announceNewest(socket: HttpSocket): void {
    const answer = socket._httpMessage;
    if (!answer) return;
    if (answer.req === socket.parser?.incoming) this.announce(socket, answer);
    else answer.once('finish', () => this.#announceNewest(socket));
  }

  announce(socket: HttpSocket, answer: Answer): void {
    const before = this.#last.get(socket);
    // The client sent one more request before it could know. The previous answer is not the last
    // one any more, unless it has already said so.
    if (before !== undefined && !before.headersSent) before.shouldKeepAlive = true;
    if (answer.headersSent || !answer.shouldKeepAlive) return;
    answer.shouldKeepAlive = false;
    this.#last.set(socket, answer);
    const storeHeader = answer._storeHeader;
    answer._storeHeader = (...args) => {
      storeHeader.apply(answer, args);
      if (this.#last.get(socket) === answer) overrule(answer);
    };
  }

  /**
   * Closes the connections that were idle at every look of the last second. It repeats, because an
   * answer whose head was sent before the handover leaves a connection that its client keeps.
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
    // After a blocked event loop, timers run first, and only then the data that clients have sent
    // meanwhile.
    setImmediate(() => this.#closeIdle());
    this.#timer = setTimeout(() => this.#look(), lookMs).unref();
  }

  #closeIdle(): void {
    for (const socket of this.#idleSockets()) {
      const seen = this.#idle.get(socket);
      if (seen !== undefined && seen.looks >= idleLooks && seen.bytesRead === socket.bytesRead) socket.destroy();
    }
  }

  /**
   * Returns the sockets with neither a request nor an answer under way, and those that have sent
   * nothing at all.
   */
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

/**
 * A program may set `Connection: keep-alive` itself, as proxies do. Then Node keeps the connection,
 * and a client that asks again and again would keep the old process alive.
 */
function overrule(answer: Answer): void {
  if (answer._last || answer._header === null) return;
  const header = answer._header.replace(/(?<=\r\nconnection: *)keep-alive(?=\r\n)/i, 'close');
  if (header === answer._header) return;
  answer._header = header;
  answer.shouldKeepAlive = false;
  answer._last = true;
}
