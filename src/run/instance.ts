import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';

/** The end of a program. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why the program could not be started, as an errno. */
  readonly unstarted?: string | undefined;
}

/** Returns the status of the program, or 128 plus the number of the signal, as shells do. */
export function exitStatus({ code, signal }: Exit): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

/** Returns `ended with status 1`, `was killed by SIGKILL`, or `could not be started (ENOMEM)`. */
export function describeExit({ code, signal, unstarted }: Exit): string {
  if (unstarted !== undefined) return `could not be started (${unstarted})`;
  return signal === null ? `ended with status ${code}` : `was killed by ${signal}`;
}

/**
 * Returns the status for an errno of `execvp`: 127 for a program that does not exist, 126 for any
 * other reason, as shells do.
 */
export function spawnStatus(errno: string | undefined): 126 | 127 {
  return errno === 'ENOENT' || errno === 'ENOTDIR' ? 127 : 126;
}

/** One process that runs the program, or a failed attempt to start one, which has ended already. */
export class Instance {
  /** Undefined: it could not be started. */
  readonly pid: number | undefined;
  /** Fulfilled once, in whatever way it ends. */
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess | undefined;
  readonly #startedMs = performance.now();
  #ready = false;
  #sayReady = (): void => undefined;
  readonly #becameReady = new Promise<'ready'>((resolve) => {
    this.#sayReady = () => resolve('ready');
  });

  /**
   * @param start calls spawn(), which throws for some errors (ENOMEM, E2BIG) and emits others
   * (EAGAIN, ENOENT)
   */
  constructor(start: () => ChildProcess) {
    const child = attempt(start);
    if (typeof child === 'string') {
      this.exited = Promise.resolve(failedStart(child));
      return;
    }
    this.#child = child;
    this.pid = child.pid;
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
      child.on('error', (error: NodeJS.ErrnoException) => {
        // Otherwise a signal could not be sent, because the process belongs to another user by now.
        if (this.pid === undefined) resolve(failedStart(error.code));
      });
    });
  }

  /** `Process 412`, as messages name it. */
  get name(): string {
    return this.pid === undefined ? 'A new process' : `Process ${this.pid}`;
  }

  get ranMs(): number {
    return performance.now() - this.#startedMs;
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Notes that it serves: it said so (`READY=1`), or has run long enough. */
  becomeReady(): void {
    this.#ready = true;
    this.#sayReady();
  }

  /** Waits until it serves, has ended, or has taken too long. */
  async settled(timeoutMs: number): Promise<'ready' | 'late' | Exit> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), timeoutMs);
    });
    const outcome = await Promise.race([this.#becameReady, this.exited, late]);
    clearTimeout(timer);
    return outcome;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Sends SIGTERM, and SIGKILL after the grace time. */
  async stop(graceMs: number): Promise<Exit> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }
}

function attempt(start: () => ChildProcess): ChildProcess | string {
  try {
    return start();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown error';
  }
}

function failedStart(errno = 'unknown error'): Exit {
  return { code: spawnStatus(errno), signal: null, unstarted: errno };
}
