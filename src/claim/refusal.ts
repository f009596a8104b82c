import type { Errno, Kernel } from '../kernel/kernel.js';

/**
 * The name of a system call in an error. It is the name of the manual page: openat(2) is `open`.
 */
export type Syscall = keyof Kernel | 'open' | 'lstat' | 'link' | 'rename' | 'unlink' | 'chmod' | 'chown';

/**
 * Why an address could not be claimed. A reason is finer than an errno, and has one meaning.
 * `docs/errors.md` explains them.
 */
export type Refused =
  // Another process has the address.
  | 'held'
  | 'starting'
  | 'stray'
  // The claim itself reports `starting`: nothing listens at the path. The explanation finds the
  // socket without its file.
  | 'displaced'
  // Another thread of this process has the inherited socket.
  | 'other-thread'
  // The socket that was passed to this process for the address is of another type.
  | 'other-type'
  // Another file is at the path, and stays there.
  | 'not-a-socket'
  | 'aside-occupied'
  // The lock file is not usable.
  | 'lock-not-a-file'
  | 'lock-is-symlink'
  | 'lock-is-address'
  | 'lock-has-links'
  | 'lock-foreign-owner'
  | 'lock-foreign-content'
  | 'lock-denied'
  | 'lock-unstable'
  // The path itself.
  | 'no-directory'
  | 'too-long'
  // It is bound through /proc, and there is none here.
  | 'no-proc'
  // The pinned directory has been moved away or replaced.
  | 'directory-moved'
  | 'unstable'
  // A wait was cancelled.
  | 'cancelled'
  // The system call failed, and its errno says why.
  | 'system';

/**
 * A refused start. It left nothing behind: no descriptor, and no file except perhaps an unlocked
 * lock file.
 */
export interface Refusal {
  readonly refused: Refused;
  readonly errno: Errno;
  readonly syscall: Syscall;
  /** The file that the refusal is about. */
  readonly path?: string | undefined;
  /**
   * The holder's description of itself in the lock file: text from another process, not to be
   * trusted.
   */
  readonly record?: string | undefined;
  /** The process that has the address, if it is not the one of the record. */
  readonly pid?: number | undefined;
  /** Why the `reuseaddr run` above this process has not passed its socket. */
  readonly unpassed?: Unpassed | undefined;
  /** `served` if the holder serves handovers; after a failed handover, why it failed. */
  readonly handover?: 'served' | Unhanded | Errno | undefined;
}

/** Why a handover failed although every system call succeeded. */
export type Unhanded =
  /** No process serves handovers there. */
  | 'unserved'
  /** The holder is gone, or has handed over to another process: start again. */
  | 'again'
  /** The holder did not answer in time. */
  | 'late'
  /** Another user serves that socket, or does not let this one connect. */
  | 'denied'
  /** The holder's socket is of another type. */
  | 'other-type'
  /** The offer is not the claim of this address. */
  | 'bad-offer';

/** Why a `reuseaddr run` above this process has not passed its socket. */
export type Unpassed =
  /** This process is not below the program, according to `run`. */
  | 'stranger'
  /** `run` cannot be reached: it is gone, or its socket is hidden. */
  | 'unreachable'
  /** `run` did not answer in time. */
  | 'late';

export function refuse(refused: Refused, errno: Errno, syscall: Syscall, path?: string, record?: string): Refusal {
  return { refused, errno, syscall, path, record };
}

export function isRefusal(outcome: unknown): outcome is Refusal {
  return typeof outcome === 'object' && outcome !== null && 'refused' in outcome;
}
