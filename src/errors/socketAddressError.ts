import { constants } from 'node:os';
import type { Holder } from '../holder/holder.js';
import type { Explanation } from './messageOf.js';
import type { Reason } from './reasons.js';

/** @internal */
export interface SocketAddressErrorFields {
  readonly code: string;
  readonly reason: Reason;
  readonly syscall: string;
  readonly address: string;
  readonly holder?: Holder | undefined;
  readonly shortMessage: string;
  /** The parts from which another front end makes its own message. */
  readonly explanation: Explanation;
}

/**
 * The same symbol in every copy of this package: a program may load it by import, by require, and
 * in two versions.
 */
const brand: unique symbol = Symbol.for('reuseaddr.SocketAddressError');

/**
 * Every error of this package.
 *
 * `code`, `errno`, `syscall` and `address` are Node's own fields of a system error. `reason` says
 * more than the code can, and `holder` names the process that holds the address, where that is
 * known. Match on `code` and `reason`; the message is for people.
 *
 * `instanceof` also holds for an error of another copy of this package.
 *
 * @example
 * ```js
 * import { createServer } from 'node:net';
 * import { claim, listen, SocketAddressError } from 'reuseaddr';
 *
 * await claim('/run/app.sock');
 * try {
 *   await listen(createServer(), '/run/app.sock');
 * } catch (error) {
 *   if (!(error instanceof SocketAddressError)) throw error;
 *   console.log(error.code, error.reason, error.holder?.pid === process.pid); // → EADDRINUSE held true
 * }
 * ```
 *
 * @see docs/errors.md for every code and reason
 */
export class SocketAddressError extends Error {
  /**
   * The name of an errno, such as `EADDRINUSE`, or a code of Node's own, such as
   * `ERR_SERVER_ALREADY_LISTEN`.
   */
  readonly code: string;
  /** The errno as a negative number, as in Node; undefined if `code` is not an errno. */
  readonly errno: number | undefined;
  /**
   * The system call that failed with `code`. If this package decided on `code` itself, as for
   * `EADDRINUSE`, the value is `listen` or `connect`.
   */
  readonly syscall: string;
  /** The address as the caller wrote it. */
  readonly address: string;
  readonly reason: Reason;
  /**
   * The process that holds the address, if it is known. The text comes from that process: it is
   * made printable, not verified.
   */
  readonly holder: Holder | undefined;
  readonly #shortMessage: string;
  readonly #explanation: Explanation;

  /** @internal */
  constructor(message: string, fields: SocketAddressErrorFields) {
    super(message);
    this.code = fields.code;
    const number = (constants.errno as Record<string, number | undefined>)[fields.code];
    this.errno = number === undefined ? undefined : -number;
    this.syscall = fields.syscall;
    this.address = fields.address;
    this.reason = fields.reason;
    this.holder = fields.holder;
    this.#shortMessage = fields.shortMessage;
    this.#explanation = fields.explanation;
  }

  /** @internal */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (this !== SocketAddressError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return typeof value === 'object' && value !== null && brand in value;
  }

  /** The message without its advice: what happened, and not what to do. */
  get shortMessage(): string {
    return this.#shortMessage;
  }

  /** @internal */
  get explanation(): Explanation {
    return this.#explanation;
  }
}

// Bundlers and minifiers rename the class, and Node prints an error under the name of its class.
Object.defineProperty(SocketAddressError, 'name', { value: 'SocketAddressError' });

// Defined on the prototype, so that a printed error does not show them.
Object.defineProperties(SocketAddressError.prototype, {
  name: { value: 'SocketAddressError', configurable: true, writable: true },
  [brand]: { value: true },
});
