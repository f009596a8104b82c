import type { Conversation, SystemCall } from '#dist/kernel/kernel.js';

/** The state of a process, as far as a guarantee asks. */
export interface Standing {
  /**
   * Whether it uses reuseaddr (or the scheme under test), or is a program that knows nothing of it.
   */
  readonly role: 'reuseaddr' | 'outsider';
  readonly doing: 'idle' | 'starting' | 'holding' | 'releasing' | 'dying' | 'meddling' | 'done';
  /** From the return of the start to the end of the release. */
  readonly claim?: Claim;
}

/** The facts of a claim that the guarantees read. Naive schemes may have no lock: -1. */
export interface Claim {
  readonly lockFd: number;
  readonly listenFd: number;
  readonly identity: { readonly dev: bigint; readonly ino: bigint };
  readonly removesLock?: boolean | undefined;
}

/** A piece of a process's life: one operation, and what comes after it. */
export interface Phase {
  /**
   * Two phases with the same key are the same: they make the same calls and continue in the same
   * way.
   */
  readonly key: string;
  /** Before the first call. */
  readonly first: Standing;
  /** From the first call to the end. */
  readonly later: Standing;
  /** Undefined: the process does nothing any more. */
  readonly begin?: () => Conversation<unknown>;
  /** The phase that follows the outcome; `wrong` says what is wrong with an outcome in itself. */
  readonly next?: (outcome: unknown, history: readonly Past[]) => { readonly phase: Phase; readonly wrong?: string };
  /** The phase to which a crash leads. Undefined: no crash is explored here. */
  readonly crash?: Crash;
}

export interface Crash {
  readonly phase: () => Phase;
  /**
   * Whether the kernel closes everything at once, or the phase does so itself, one descriptor after
   * another.
   */
  readonly closesAll: boolean;
}

/** A system call that was made, and its answer. */
export interface Past {
  readonly call: SystemCall;
  readonly answer: unknown;
}
