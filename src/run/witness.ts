import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** For so long a signal may come to the processes of a group one by one, as from systemd(1), in milliseconds. */
const momentMs = 250;

/** A witness that ends so soon, so often in a row, is not started again: something kills each. */
const steadyMs = 50;
const soonEndsMax = 5;

/**
 * Tells whether a signal was sent to us alone, or to our whole process group or control group: `timeout`, `kill -- -PGID`, Ctrl-C,
 * systemd's KillMode=control-group, and some containers' init do that. Then the program has it already, and a second one may
 * mean "at once" to it.
 *
 * Neither siginfo nor /proc tells that. So a process that only waits is kept in the group: when it ends by the same signal, the
 * program has got it, too. It ends with us, because nothing holds the other end of its standard input then.
 */
export class Witness {
  #child: ChildProcess | undefined;
  #last: { readonly signal: NodeJS.Signals | null; readonly atMs: number } | undefined;
  #soonEnds = 0;
  #closed = false;

  /** Starts the process, where there is none yet. */
  start(): void {
    if (this.#child !== undefined || this.#closed) return;
    const startedMs = performance.now();
    try {
      const child = spawn('/bin/sh', ['-c', 'ulimit -c 0; read -r end', 'reuseaddr run: dies of signals to the group'], {
        stdio: ['pipe', 'ignore', 'ignore'],
        env: {},
      });
      child.on('error', () => undefined);
      child.stdin.on('error', () => undefined);
      child.once('exit', (_code, signal) => {
        this.#last = { signal, atMs: performance.now() };
        this.#soonEnds = performance.now() - startedMs < steadyMs ? this.#soonEnds + 1 : 0;
        this.#child = undefined;
        if (this.#soonEnds <= soonEndsMax) this.start();
      });
      child.unref();
      (child.stdin as unknown as { unref(): void }).unref();
      this.#child = child;
    } catch {
      // No memory for it: then each signal is passed on, as if it were for us alone.
    }
  }

  /** Whether a signal that we have just got came to the whole group. */
  async saw(signal: NodeJS.Signals): Promise<boolean> {
    const child = this.#child;
    if (this.#last?.signal === signal && performance.now() - this.#last.atMs < momentMs) return true;
    if (child?.pid === undefined || child.exitCode !== null) return false;
    if (isPending(child.pid, signal)) return true;
    const ended = await new Promise<NodeJS.Signals | null>((resolve) => {
      const timer = setTimeout(() => resolve(null), momentMs);
      child.once('exit', (_code, by) => {
        clearTimeout(timer);
        resolve(by);
      });
    });
    // On a busy machine it may not have been scheduled yet.
    return ended === signal || isPending(child.pid, signal);
  }

  close(): void {
    this.#closed = true;
    this.#child?.kill('SIGKILL');
  }
}

/** proc(5), status: ShdPnd is a mask of the signals that wait for the process. */
function isPending(pid: number, signal: NodeJS.Signals): boolean {
  try {
    const mask = /^ShdPnd:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '0';
    return ((BigInt(`0x${mask}`) >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n;
  } catch {
    return false;
  }
}
