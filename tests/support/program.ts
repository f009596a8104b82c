import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The report of a program about an action that failed. */
export interface Failure {
  readonly code: string;
  readonly reason?: string;
  readonly syscall?: string;
  readonly message: string;
  readonly holder?: { readonly pid: number };
}

interface Answer {
  readonly value?: unknown;
  readonly failure?: Failure;
}

export interface StartOptions {
  /** Another fixture program than `holder.mjs`: see `fixtureBeside`. */
  readonly program?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly cwd?: string;
  /** A command line that runs the command which follows it. */
  readonly under?: readonly string[];
  /** For a program that is expected to print an error, so that the test's output stays clean. */
  readonly quiet?: boolean;
}

/**
 * The fixture program of this name in `tests/support/fixtures`, as seen from `build/tests/support`.
 */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../../../tests/support/fixtures/${name}`, import.meta.url));
}

/**
 * The fixture program next to a test: `from` is the test's `import.meta.url`, somewhere in
 * `build/tests/<folder>`.
 */
export function fixtureBeside(from: string, name: string): string {
  const folder = from.slice(from.indexOf('/build/tests/') + '/build/tests/'.length, from.lastIndexOf('/'));
  return fileURLToPath(new URL(`../../../tests/${folder}/fixtures/${name}`, import.meta.url));
}

/**
 * A process that does what it is told by message: `holder.mjs` says what there is. It never
 * outlives its test.
 */
export class Program {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #exit: Promise<number | string>;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #asked = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.#exit = once(child, 'exit').then(([code, signal]) => {
      for (const answer of this.#waiting.values())
        answer({ failure: { code: 'EXITED', message: `exited with ${code ?? signal}` } });
      return (code ?? signal) as number | string;
    });
    child.on('message', (message: Answer & { readonly id: number }) => {
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
    });
  }

  static async start(t: TestContext, options: StartOptions = {}): Promise<Program> {
    const { program: file = fixture('holder.mjs'), under = [], quiet = false, ...rest } = options;
    const [command = process.execPath, ...args] = [...under, process.execPath, file];
    const child = spawn(command, args, { ...rest, stdio: ['ignore', 'inherit', quiet ? 'ignore' : 'inherit', 'ipc'] });
    t.after(() => child.kill('SIGKILL'));
    const program = new Program(child);
    await program.ask('ping');
    return program;
  }

  /** Has the program do something; gives what it answers, or throws the `Failure`. */
  async ask<Value = void>(action: string, args: object = {}): Promise<Value> {
    const { value, failure } = await this.#send(action, args);
    if (failure !== undefined) throw Object.assign(new Error(`${action}: ${failure.message}`), failure);
    return value as Value;
  }

  /** Has the program do something that must fail. */
  async refused(action: string, args: object = {}): Promise<Failure> {
    const { value, failure } = await this.#send(action, args);
    if (failure === undefined)
      throw new Error(`${action} ${JSON.stringify(args)} should have failed, it gave ${JSON.stringify(value)}`);
    return failure;
  }

  /** Whether it has ended, as far as this process has been told. */
  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Sends a signal. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /**
   * Ends the program by SIGKILL; when the promise is fulfilled, the kernel has closed its
   * descriptors.
   */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exit;
  }

  /** Has the program end by itself, and gives its exit status. */
  async end(action: string, args: object = {}): Promise<number | string> {
    this.#child.send({ id: -1, action, args });
    return await this.#exit;
  }

  #send(action: string, args: object): Promise<Answer> {
    // A child of a program that was killed may have the other end of the channel until execve(2):
    // it takes messages, and answers none.
    if (this.ended) return Promise.resolve({ failure: { code: 'EXITED', message: 'it has ended' } });
    const id = this.#asked++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.send({ id, action, args }, (error) => {
        if (error !== null) resolve({ failure: { code: 'EXITED', message: error.message } });
      });
    });
  }
}
