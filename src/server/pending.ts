import type { Server } from 'node:net';
import { refuse } from '../claim/refusal.js';
import { explain, explainWrong } from '../errors/explain.js';
import type { Request } from '../request/options.js';

/**
 * Shared by all copies of this package in the process: two copies must not both adopt one server.
 */
const mark: unique symbol = Symbol.for('reuseaddr.pending');

type Marked = Server & { [mark]?: true };

/**
 * A server on its way to an address, and its request: it waits, or asks the holder, and does not
 * listen yet.
 *
 * Until it does, its `close` cancels the start, and another `listen` is refused, just as Node
 * refuses it for a server that listens.
 */
export class Pending {
  readonly server: Marked;
  /** With a signal that a `close` aborts too. */
  readonly request: Request;
  readonly #controller: AbortController | undefined;
  #calledOff = false;
  #restore: (() => void) | undefined;

  /**
   * @throws {SocketAddressError} `ERR_SERVER_ALREADY_LISTEN`
   */
  constructor(server: Server, request: Request) {
    const { waitMs, takeoverMs, signal } = request;
    this.server = server;
    // Only a start that takes time must notice a `close` in the middle of it.
    this.#controller = waitMs === undefined && takeoverMs === undefined ? undefined : new AbortController();
    const signals = [this.#controller?.signal, signal].filter((each) => each !== undefined);
    this.request = { ...request, signal: signals.length > 1 ? AbortSignal.any(signals) : signals[0] };
    if (server.listening || this.server[mark] === true) throw this.#alreadyListening();
    this.begin();
  }

  /** @throws {SocketAddressError} if the server was closed in the meantime */
  throwIfCalledOff(): void {
    if (this.#calledOff) throw this.closed();
  }

  begin(): void {
    if (this.#restore !== undefined) return;
    const { server } = this;
    const restoreClose = shadow(server, 'close', (close, ...args: Parameters<Server['close']>) => {
      this.#calledOff = true;
      this.#controller?.abort(this.closed());
      return close(...args);
    });
    const restoreListen = shadow(server, 'listen', () => {
      throw this.#alreadyListening();
    });
    server[mark] = true;
    this.#restore = () => {
      restoreClose();
      restoreListen();
      delete server[mark];
    };
  }

  end(): void {
    this.#restore?.();
    this.#restore = undefined;
  }

  /** Returns the error of a start that a `close` has cancelled. */
  closed(): Error {
    return explain(this.request.text, refuse('cancelled', 'ECANCELED', 'listen'));
  }

  #alreadyListening(): Error {
    return explainWrong(this.request.text, 'already-listening', 'ERR_SERVER_ALREADY_LISTEN');
  }
}

/**
 * Puts a method in front of another. Returns a function that removes it again, unless the program
 * has put its own there in the meantime.
 */
function shadow<Name extends 'close' | 'listen'>(
  server: Server,
  name: Name,
  method: (original: (...args: Parameters<Server[Name]>) => Server, ...args: Parameters<Server[Name]>) => Server,
): () => void {
  const own = Object.getOwnPropertyDescriptor(server, name);
  const original = server[name].bind(server) as (...args: Parameters<Server[Name]>) => Server;
  const shadowing = (...args: Parameters<Server[Name]>): Server => method(original, ...args);
  Object.defineProperty(server, name, {
    value: shadowing,
    configurable: true,
    writable: true,
    enumerable: own?.enumerable ?? false,
  });
  return () => {
    if (server[name] !== shadowing) return;
    if (own === undefined) delete (server as Partial<Server>)[name];
    else Object.defineProperty(server, name, own);
  };
}
