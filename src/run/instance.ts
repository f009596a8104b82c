import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Descendant } from './descendant.js';
import { hasMissed } from './witness.js';

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

/** The treatment of a program that its wrapper leaves behind. */
export interface LeftBehind {
  /** The time from SIGTERM to SIGKILL. */
  readonly graceMs: number;
  report(message: string): void;
}

/**
 * How long to wait before a program that was left behind is signalled, in milliseconds. It may just
 * be ending, because it has had the signal from its parent, or with its process group.
 */
const settleMs = 500;

/**
 * One process that runs the program, or a failed attempt to start one, which has ended already. If
 * it is a wrapper such as npm, the program is a process below it, which was passed the socket.
 */
export class Instance {
  /** Undefined: it could not be started. */
  readonly pid: number | undefined;
  /** Fulfilled once, in whatever way it ends, when the program below it has ended as well. */
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess | undefined;
  readonly #startedMs = performance.now();
  readonly #leftBehind: LeftBehind;
  readonly #program = new Set<Descendant>();
  /** The own process has ended. */
  #ended = false;
  /** It was told to stop. */
  #stopping = false;
  #ready = false;
  #sayReady = (): void => undefined;
  readonly #becameReady = new Promise<'ready'>((resolve) => {
    this.#sayReady = () => resolve('ready');
  });

  /**
   * @param start calls spawn(), which throws for some errors (ENOMEM, E2BIG) and emits others
   * (EAGAIN, ENOENT)
   */
  constructor(start: () => ChildProcess, leftBehind: LeftBehind) {
    this.#leftBehind = leftBehind;
    const child = attempt(start);
    if (typeof child === 'string') {
      this.exited = Promise.resolve(failedStart(child));
      return;
    }
    this.#child = child;
    this.pid = child.pid;
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => void this.#endProgram().then(() => resolve({ code, signal })));
      child.on('error', (error: NodeJS.ErrnoException) => {
        // Otherwise a signal could not be sent, because the process belongs to another user by now.
        if (this.pid === undefined) resolve(failedStart(error.code));
      });
    });
  }

  /**
   * Ends the program that a wrapper leaves behind: npm dies of SIGTERM without passing it on, and a
   * shell of any signal.
   */
  async #endProgram(): Promise<void> {
    this.#ended = true;
    const ended = Promise.all([...this.#program].map((each) => each.ended));
    if (this.#program.size > 0) await Promise.race([ended, sleep(settleMs)]);
    if (this.#program.size === 0) return;
    const { graceMs, report } = this.#leftBehind;
    if (!this.#stopping)
      report(`${this.name} has ended and left process ${this.programPids.join(', ')} behind; stopping that, too.`);
    for (const each of this.#program) if (!each.stops) each.signal('SIGTERM');
    // As for any program: after a SIGTERM to `run` it may take its time.
    const timer = this.#stopping ? undefined : setTimeout(() => this.signal('SIGKILL'), graceMs);
    await ended;
    clearTimeout(timer);
  }

  /** `Process 412`, as messages name it. */
  get name(): string {
    return this.pid === undefined ? 'A new process' : `Process ${this.pid}`;
  }

  get ranMs(): number {
    return performance.now() - this.#startedMs;
  }

  /** Whether processes below it may still be passed the socket. */
  get runs(): boolean {
    return this.pid !== undefined && !this.#ended;
  }

  /** The process below it that has the socket now. */
  get receiver(): Descendant | undefined {
    return [...this.#program].find(({ hasSocket }) => hasSocket);
  }

  /** The processes below it that were passed the socket, and still run. */
  get programPids(): readonly number[] {
    return [...this.#program].map(({ pid }) => pid);
  }

  /** Notes a process that was passed the socket. */
  passed(descendant: Descendant): void {
    this.#program.add(descendant);
    void descendant.ended.then(() => this.#program.delete(descendant));
  }

  /** Notes that a process has closed the socket. */
  closedBy(descendant: Descendant): void {
    descendant.done();
    if (this.#stopping) descendant.stops = true;
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

  /**
   * Sends a signal. One that has a meaning only for the program goes to the program itself.
   *
   * @param isMeant the processes that it is for, if it is not for all
   */
  signal(signal: NodeJS.Signals, isMeant: (pid: number) => boolean = () => true): void {
    const { receiver } = this;
    const meant = [...this.#program].filter(({ pid }) => isMeant(pid));
    if (signal !== 'SIGUSR1' && signal !== 'SIGUSR2') this.#stopping = true;
    else if (receiver !== undefined) return void (meant.includes(receiver) && receiver.signal(signal));
    if (this.pid !== undefined && isMeant(this.pid)) this.#child?.kill(signal);
    if (this.#ended || signal === 'SIGKILL') for (const each of meant) each.signal(signal);
  }

  /** Notes whether its processes have received a signal to stop from its sender. */
  set stopping(stopping: boolean) {
    this.#stopping = stopping;
    for (const each of this.#program) each.stops = stopping && !hasMissed(each.pid);
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
