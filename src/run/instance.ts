import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';

/** How a program ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** As shells say it: the program's own, or 128 and the number of the signal. */
export function exitStatus({ code, signal }: Exit): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

/** `ended with status 1`, `was killed by SIGKILL`. */
export function describeExit({ code, signal }: Exit): string {
  return signal === null ? `ended with status ${code}` : `was killed by ${signal}`;
}

/** What `execvp` could not do: 127 for a program that is not there, 126 for one that can't be executed, as in shells. */
export function spawnStatus(errno: string | undefined): 126 | 127 {
  return errno === 'ENOENT' || errno === 'ENOTDIR' ? 127 : 126;
}

/** One process that runs the program. */
export class Instance {
  /** 0: it could not be started. */
  readonly pid: number;
  /** Once, in whatever way it ends. */
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #startedMs = performance.now();
  #ready = false;
  #sayReady = (): void => undefined;
  readonly #becameReady = new Promise<'ready'>((resolve) => {
    this.#sayReady = () => resolve('ready');
  });

  constructor(child: ChildProcess, report: (message: string) => void) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
      child.on('error', (error: NodeJS.ErrnoException) => {
        if (this.pid !== 0) return; // A signal that could not be sent: it is another user's by now.
        report(`Cannot run ${child.spawnfile}: ${error.code ?? error.message}.`);
        resolve({ code: spawnStatus(error.code), signal: null });
      });
    });
  }

  get ranMs(): number {
    return performance.now() - this.#startedMs;
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** It serves, by its own word (`READY=1`) or because it has run long enough. */
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
    this.#child.kill(signal);
  }

  /** SIGTERM, and SIGKILL after the grace time. */
  async stop(graceMs: number): Promise<Exit> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    const exit = await this.exited;
    clearTimeout(timer);
    return exit;
  }
}
