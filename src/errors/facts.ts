import type { Unhanded, Unpassed } from '../claim/refusal.js';
import type { Advice, Words } from './advice.js';

/** The facts that a sentence of the table may mention, as text that is safe in a message. */
export interface Facts {
  readonly code: string;
  /** The system call that failed. */
  readonly call: string;
  /** `process 412 (node server.js, user www-data)`, or `another process`. */
  readonly holder: string;
  /** ` since 10:31`, or nothing. */
  readonly since: string;
  /** The pid that kill(1) needs to reach the holder. */
  readonly pid: number | undefined;
  /**
   * Set if the holder is stopped (SIGSTOP), is this very process, is another worker of the same
   * cluster, is the `reuseaddr run` that started this program, or is another process of the program
   * that has the socket from there.
   */
  readonly standing?: 'stopped' | 'ourselves' | 'worker' | 'supervisor' | 'sibling' | undefined;
  /** Why `reuseaddr run` has not passed its socket to this process. */
  readonly unpassed?: Unpassed | undefined;
  /** Whether the holder serves handovers; after a failed handover, why it failed. */
  readonly handover?: 'served' | Unhanded | `E${string}` | undefined;
  /** The file that the error is about. */
  readonly path: string;
  /**
   * The file at `path`: `a directory`, or `a symbolic link to app.sock, where a server listens`.
   */
  readonly kind: string;
  /**
   * The user of this process: `user www-data`. A function, so that only a sentence that names the
   * user looks it up.
   */
  user(): string;
  /** The user who owns `path`. */
  owner(): string;
  /** Whether the caller wants to listen. */
  readonly listens: boolean;
  /** A clause about a wrong argument, which follows the name of the option if there is one. */
  readonly wrong: string;
  readonly option: string | undefined;
  readonly right: string | undefined;
  /** An option that helps instead. */
  readonly instead?: Advice | undefined;
}

/** The clauses of a message, from which a front end makes sentences. */
export interface Clauses {
  happened(facts: Facts): string;
  /** Alternatives: `stop it`, `wait for it`. */
  todo(words: Words, facts: Facts): readonly (string | undefined)[];
}

/** One reason: its codes, and the clauses of its message. */
export interface Row extends Clauses {
  readonly codes: readonly string[];
  /** This package decided on the code, not a system call: `syscall` then names the task. */
  readonly verdict?: true;
}
