import type { Errno, Kernel } from '../kernel/kernel.js';

/** What an error calls a system call: by the name under which its manual page is found, openat(2) as `open`. */
export type Syscall = keyof Kernel | 'open' | 'lstat' | 'link' | 'rename' | 'unlink' | 'chmod' | 'chown';

/** Why an address could not be claimed: finer than an errno, one meaning each. `docs/errors.md` explains them. */
export type Refused =
  // Somebody has the address.
  | 'held'
  | 'starting'
  | 'stray'
  // To a claim it is `starting`: nothing listens at the path. Whoever explains that finds the socket without its file.
  | 'displaced'
  // Another thread of this process has the socket that was passed to the process.
  | 'other-thread'
  // Something else is at the path, and it stays there.
  | 'not-a-socket'
  | 'aside-occupied'
  // The lock file is not one that we may use.
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
  // Its directory is another one now: what was pinned has been moved away, or replaced.
  | 'directory-moved'
  | 'unstable'
  // A wait was called off.
  | 'cancelled'
  // The system call failed, for the reason that its errno says.
  | 'system';

/** A start that was refused. Nothing was left behind: no descriptor, no file but perhaps an unlocked lock file. */
export interface Refusal {
  readonly refused: Refused;
  readonly errno: Errno;
  readonly syscall: Syscall;
  /** The file that it is about. */
  readonly path?: string | undefined;
  /** What the holder wrote about itself into the lock file: text from another process, not to be trusted. */
  readonly record?: string | undefined;
  /** `served` where the holder would hand over; where that was asked for, why it did not come about. */
  readonly handover?: 'served' | Unhanded | Errno | undefined;
}

/** Why a handover did not come about, where no system call failed. */
export type Unhanded =
  /** No process serves handovers there. */
  | 'unserved'
  /** The holder has gone or handed over to another meanwhile: start over. */
  | 'again'
  /** The holder did not answer in time. */
  | 'late'
  /** Another user serves that socket, or doesn't let us connect. */
  | 'denied'
  /** What came is not the claim of this address. */
  | 'bad-offer';

export function refuse(refused: Refused, errno: Errno, syscall: Syscall, path?: string, record?: string): Refusal {
  return { refused, errno, syscall, path, record };
}

export function isRefusal(outcome: unknown): outcome is Refusal {
  return typeof outcome === 'object' && outcome !== null && 'refused' in outcome;
}
