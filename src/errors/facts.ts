import type { Unhanded } from '../claim/refusal.js';
import type { Advice, Words } from './advice.js';

/** What a sentence of the table may say: texts that are fit for a message. */
export interface Facts {
  readonly code: string;
  /** The system call that failed. */
  readonly call: string;
  /** `process 412 (node server.js, user www-data)`, or `another process`. */
  readonly holder: string;
  /** ` since 10:31`, or nothing. */
  readonly since: string;
  /** How to name the holder to kill(1). */
  readonly pid: number | undefined;
  /** Set where the holder is stopped (SIGSTOP), is this very process, or is another worker of the same cluster. */
  readonly standing?: 'stopped' | 'ourselves' | 'worker' | undefined;
  /** Whether the holder serves handovers; where one was asked for, why it did not come about. */
  readonly handover?: 'served' | Unhanded | `E${string}` | undefined;
  /** The file that it is about. */
  readonly path: string;
  /** `a directory`, `a symbolic link to app.sock, where a server listens`: what was found at `path`. */
  readonly kind: string;
  /** The user of this process: `user www-data`. Looked up only where a sentence names it. */
  user(): string;
  /** The user that `path` belongs to. */
  owner(): string;
  /** Whether the caller wants to listen. */
  readonly listens: boolean;
  /** What is wrong with an argument, after the option if there is one, and how to write it. */
  readonly wrong: string;
  readonly option: string | undefined;
  readonly right: string | undefined;
  /** An option that helps instead. */
  readonly instead?: Advice | undefined;
}

/** What a message says: clauses, from which a front end makes sentences. */
export interface Clauses {
  happened(facts: Facts): string;
  /** Alternatives: `stop it`, `wait for it`. */
  todo(words: Words, facts: Facts): readonly (string | undefined)[];
}

/** One reason: the codes that it comes with, and the clauses of its message. */
export interface Row extends Clauses {
  readonly codes: readonly string[];
  /** The code is our verdict, and no system call gave it: `syscall` is then that of the task. */
  readonly verdict?: true;
}
