import assert from 'node:assert/strict';
import { spawn, type ChildProcess, type SpawnOptions, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import fs from 'node:fs';
import { root } from '../readme/examples.js';
import { until } from '../support/waits.js';

export const commandLine = `${root}dist/cli/main.js`;

/** A program in `tests/run/fixtures`. */
export function program(name: string): string {
  return fileURLToPath(new URL(`../../../tests/run/fixtures/${name}`, import.meta.url));
}

/** A `reuseaddr run`. It ends with its test, and so does every program that it said it started. */
export class Running {
  readonly child: ChildProcess;
  /** The output of it and its program, line by line. */
  readonly lines: string[] = [];
  /** The exit status, or the signal. */
  readonly exited: Promise<number | string>;
  /** The programs that said `serving <pid>`. */
  readonly pids: number[] = [];
  #read = 0;
  #wake = (): void => undefined;
  #closed = false;

  /** @param passed a listening socket that it is passed as systemd does it, sd_listen_fds(3) */
  constructor(t: TestContext, args: readonly string[], options: SpawnOptions = {}, passed?: number) {
    const command = [process.execPath, commandLine, 'run', ...args];
    const announce = passed === undefined ? '' : 'LISTEN_FDS=1; LISTEN_PID=$$; export LISTEN_FDS LISTEN_PID; ';
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', ...(passed === undefined ? [] : [passed])];
    const child = spawn('/bin/sh', ['-c', `${announce}exec "$@"`, 'sh', ...command], { ...options, stdio });
    this.child = child;
    this.exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface(stream).on('line', (line) => this.#hear(line));
    }
    child.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
    t.after(() => {
      const programs = new Set([...this.pids, ...descendantsOf(this.pid)]);
      child.kill('SIGKILL');
      for (const pid of programs) kill(pid, 'SIGKILL');
      // A process that has lost its parents would keep them open, and a failed test would hang.
      child.stdout?.destroy();
      child.stderr?.destroy();
    });
  }

  #hear(line: string): void {
    this.lines.push(line);
    const pid = /^serving (\d+)$/.exec(line)?.[1];
    if (pid !== undefined) this.pids.push(Number(pid));
    this.#wake();
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The next line that is so, after the last one that was asked for. */
  async line(wanted: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      for (; this.#read < this.lines.length; this.#read++) {
        const match = wanted.exec(this.lines[this.#read] ?? '');
        if (match === null) continue;
        this.#read++;
        return match;
      }
      if (this.#closed) throw new Error(`It ended without ${wanted}:\n${this.lines.join('\n')}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The pid of the next program that says that it serves. */
  async serving(): Promise<number> {
    return Number((await this.line(/^serving (\d+)$/))[1]);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Ends it in an orderly way, and gives its exit status. */
  async stop(): Promise<number | string> {
    this.signal('SIGTERM');
    return await this.exited;
  }
}

/** The seqpacket server of the examples under `reuseaddr run`, which says when it is ready. */
export function echoing(t: TestContext, address: string): Running {
  return new Running(t, ['--verbose', '--type=seqpacket', address, '--', 'python3', `${root}examples/datagrams/echo.py`]);
}

/** The processes that it has started, and not waited for. */
export function childrenOf(pid: number): readonly number[] {
  try {
    return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return []; // It has ended.
  }
}

/** Likewise, with those that they have started, such as the program below a wrapper. */
function descendantsOf(pid: number): readonly number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

export function kill(pid: number, signal: NodeJS.Signals): void {
  assert.ok(pid > 1, `${pid} would be the process group of the tests, or process 1`);
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended already.
  }
}

/** Whether there is a process of this pid, dead ones that were not reaped included. */
export function exists(pid: number): boolean {
  return fs.existsSync(`/proc/${pid}`);
}

/** Waits until a process is gone that is no child of ours. */
export async function gone(pid: number): Promise<void> {
  await until(() => !exists(pid));
}

export interface Outcomes {
  readonly answered: number;
  readonly refused: number;
  readonly reset: number;
  readonly wrong: number;
  readonly codes: Readonly<Record<string, number>>;
}

/** Client processes that ask over and over. Each has been answered once when this returns. */
export async function load(t: TestContext, path: string, clients: number): Promise<() => Promise<Outcomes>> {
  const children = Array.from({ length: clients }, () =>
    spawn(process.execPath, [program('client.mjs'), path], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  );
  t.after(() => children.forEach((child) => child.kill('SIGKILL')));
  await Promise.all(children.map((child) => once(child, 'message')));
  return async () => {
    const outcomes = await Promise.all(
      children.map(async (child) => {
        const told = once(child, 'message');
        child.send('stop');
        return (await told)[0] as Outcomes;
      }),
    );
    const sum = (of: (outcome: Outcomes) => number): number => outcomes.reduce((total, outcome) => total + of(outcome), 0);
    return {
      answered: sum(({ answered }) => answered),
      refused: sum(({ refused }) => refused),
      reset: sum(({ reset }) => reset),
      wrong: sum(({ wrong }) => wrong),
      codes: Object.assign({}, ...outcomes.map(({ codes }) => codes)) as Record<string, number>,
    };
  };
}
