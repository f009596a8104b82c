import { constants } from 'node:os';
import type { Refused } from '../claim/refusal.js';
import type { Holder } from '../holder/holder.js';

/** Why an address could not be connected to. */
export type Unreachable =
  // These may pass, and are tried again until the deadline.
  | 'absent'
  | 'no-directory'
  | 'stale'
  | 'starting'
  | 'backlog-full'
  // These don't.
  | 'denied'
  | 'not-a-socket'
  | 'not-a-stream'
  | 'too-long'
  | 'system';

/** Why a call failed: finer than `code`, one meaning each. `docs/errors.md` lists them with what to do. */
export type Reason =
  | Refused
  | Unreachable
  | 'bad-address'
  | 'bad-option'
  | 'unknown-user'
  | 'unknown-group'
  | 'already-listening'
  | 'unsupported'
  | 'no-credentials';

export interface SocketAddressErrorFields {
  readonly code: string;
  readonly reason: Reason;
  readonly syscall?: string | undefined;
  readonly address: string;
  readonly holder?: Holder | undefined;
  readonly cause?: unknown;
}

/**
 * What every function of this package fails with.
 *
 * `code`, `errno`, `syscall` and `address` are Node's own fields of a system error; `reason` says more than the code can, and
 * `holder` who has the address, where that is known. Match on `code` and `reason`; the message is for people.
 *
 * @see docs/errors.md for every code and reason
 */
export class SocketAddressError extends Error {
  /** An errno by its name, such as `EADDRINUSE`, or a code of Node's own, such as `ERR_SERVER_ALREADY_LISTEN`. */
  readonly code: string;
  /** The negative number of the errno, as Node has it; undefined where `code` is no errno. */
  readonly errno: number | undefined;
  /** The system call that failed, or `listen`. */
  readonly syscall: string;
  /** The address, as it was asked for. */
  readonly address: string;
  readonly reason: Reason;
  /** Who has the address, as far as it is known. Its text comes from another process: it was made printable, not checked. */
  readonly holder: Holder | undefined;

  constructor(message: string, fields: SocketAddressErrorFields) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'SocketAddressError';
    this.code = fields.code;
    const number = (constants.errno as Record<string, number | undefined>)[fields.code];
    this.errno = number === undefined ? undefined : -number;
    this.syscall = fields.syscall ?? 'listen';
    this.address = fields.address;
    this.reason = fields.reason;
    this.holder = fields.holder;
  }
}
