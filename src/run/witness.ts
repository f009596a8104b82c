import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { groupOf } from '../holder/self.js';
import { startedBySystemd } from './parent.js';

/**
 * How long a signal to a group may take to reach all its processes one by one, as from systemd(1),
 * in milliseconds.
 */
const momentMs = 250;

/** A witness that repeatedly ends this soon is not started again: something kills each one. */
const steadyMs = 50;
const soonEndsMax = 5;

/**
 * Tells whether a signal was sent to this process alone, or to its whole process group or control
 * group.
 *
 * `timeout`, `kill -- -PGID`, Ctrl-C, systemd's KillMode=control-group, and the init of some
 * containers signal the group. Then the program already has the signal, and a second one may mean
 * "at once" to it.
 *
 * Neither siginfo nor /proc tells the difference. So a process that only waits is kept in the
 * group: if it ends by the same signal, the program has received it too. It ends with this process,
 * because no process then holds the other end of its standard input.
 */
export class Witness {
  #child: ChildProcess | undefined;
  #last: { readonly signal: NodeJS.Signals | null; readonly atMs: number } | undefined;
  #soonEnds = 0;
  #closed = false;

  /** Starts the process, unless it runs already. */
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
      // There is no memory for it. Each signal is then passed on, as if it were for this process
      // alone.
    }
  }

  /** Whether a signal that has just arrived was sent to the whole group. */
  async saw(signal: NodeJS.Signals): Promise<boolean> {
    const child = this.#child;
    if (this.#last?.signal === signal && performance.now() - this.#last.atMs < momentMs) return true;
    if (child?.pid === undefined) return false;
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

/**
 * Whether a signal that the witness saw has missed this process, because it is in a process group
 * of its own (setsid, a shell with job control). systemd(1) signals all processes of a unit.
 */
export function hasMissed(pid: number): boolean {
  const group = groupOf(pid);
  return group !== undefined && group !== groupOf(process.pid) && !startedBySystemd();
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
