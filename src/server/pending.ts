import type { Server } from 'node:net';
import { refuse } from '../claim/refusal.js';
import { explain, explainWrong } from '../errors/explain.js';
import type { Request } from '../request/readRequest.js';

/**
 * Shared by all copies of this package in the process: two copies must not both adopt one server.
 */
const mark: unique symbol = Symbol.for('reuseaddr.pending');

type Method = (...args: readonly unknown[]) => unknown;

/** The other way in which a program starts its server or socket. */
interface Entry<Owner> {
  /** The method that would start it in another way. */
  readonly name: keyof Owner & string;
  /** The code with which Node refuses a second start. */
  readonly startedCode: 'ERR_SERVER_ALREADY_LISTEN' | 'ERR_SOCKET_ALREADY_BOUND';
  /** Whether it has started. */
  hasStarted(owner: Owner): boolean;
}

const listen: Entry<Server> = {
  name: 'listen',
  startedCode: 'ERR_SERVER_ALREADY_LISTEN',
  hasStarted: ({ listening }) => listening,
};

/**
 * A server or a socket on its way to an address, and its request: it waits, or asks the holder, and
 * does not listen yet.
 *
 * Until it does, its `close` cancels the start, and another start is refused, just as Node refuses
 * it for a server that listens.
 */
export class Pending<Owner extends { close: Server['close'] | (() => unknown) } = Server> {
  readonly owner: Owner;
  /** With a signal that a `close` aborts too. */
  readonly request: Request;
  readonly #entry: Entry<Owner>;
  readonly #controller: AbortController | undefined;
  #cancelled = false;
  #restore: (() => void) | undefined;

  /**
   * @throws {SocketAddressError} with the code of `entry`
   */
  constructor(owner: Owner, request: Request, entry: Entry<Owner>) {
    const { waitMs, takeoverMs, signal } = request;
    this.owner = owner;
    this.#entry = entry;
    // Only a start that takes time must notice a `close` in the middle of it.
    this.#controller = waitMs === undefined && takeoverMs === undefined ? undefined : new AbortController();
    const signals = [this.#controller?.signal, signal].filter((each) => each !== undefined);
    this.request = { ...request, signal: signals.length > 1 ? AbortSignal.any(signals) : signals[0] };
    if (entry.hasStarted(owner) || (owner as Marked)[mark] === true) throw this.#started();
    this.begin();
  }

  static ofServer(server: Server, request: Request): Pending {
    return new Pending(server, request, listen);
  }

  /** @throws {SocketAddressError} A `close` has cancelled the start. */
  throwIfCancelled(): void {
    if (this.#cancelled) throw this.closed();
  }

  begin(): void {
    if (this.#restore !== undefined) return;
    const owner = this.owner as Marked;
    const restoreClose = shadow(owner, 'close', (close) => {
      this.#cancelled = true;
      this.#controller?.abort(this.closed());
      return close();
    });
    const restoreStart = shadow(owner, this.#entry.name, () => {
      throw this.#started();
    });
    owner[mark] = true;
    // In reverse order: the V8 of Node 20 then keeps the server's quick layout.
    this.#restore = () => {
      delete owner[mark];
      restoreStart();
      restoreClose();
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

  #started(): Error {
    return explainWrong(this.request.text, 'already-listening', this.#entry.startedCode);
  }
}

type Marked = Record<string, unknown> & { [mark]?: true };

/**
 * Puts a method in front of another. Returns a function that removes it again, unless the program
 * has put its own there in the meantime.
 */
function shadow(owner: Marked, name: string, method: (original: () => unknown) => unknown): () => void {
  const own = Object.getOwnPropertyDescriptor(owner, name);
  const original = owner[name] as Method;
  const shadowing: Method = (...args) => method(() => original.apply(owner, [...args]));
  Object.defineProperty(owner, name, {
    value: shadowing,
    configurable: true,
    writable: true,
    enumerable: own?.enumerable ?? false,
  });
  return () => {
    if (owner[name] !== shadowing) return;
    if (own === undefined) delete owner[name];
    else Object.defineProperty(owner, name, own);
  };
}
