import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The repository. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** The packages for comparison: `bench/peers/`. */
export const peers = createRequire(join(root, 'bench/peers/package.json'));

/** The programs in C: `bench/native/`. */
export const floor = join(root, 'build/bench-floor');

export const commandLine = join(root, 'dist/cli/main.js');

/** Returns the path of a compiled program of `bench/programs/`. */
export function program(name: string): string {
  return fileURLToPath(new URL(`programs/${name}.js`, import.meta.url));
}

/** The versions of Node by their names: this one, and Node 24 if the tests have installed it. */
export function nodes(): ReadonlyMap<string, string> {
  const paths = [process.execPath, join(root, 'build/packages/runtimes/node_modules/node-24/bin/node')];
  const name = (path: string): string =>
    execFileSync(path, ['-p', '`Node ${parseInt(process.versions.node)}`'], { encoding: 'utf8' }).trim();
  return new Map(paths.filter((path) => existsSync(path)).map((path) => [name(path), path]));
}

/** Memory and disk, as far as this machine has both. */
export const places = { tmpfs: '/dev/shm', disk: join(root, 'build') } as const;

/** Calls `work` with a new directory, and removes the directory afterwards. */
export async function withDirectory<Result>(place: string, work: (directory: string) => Promise<Result>): Promise<Result> {
  const directory = mkdtempSync(join(place, 'reuseaddr-bench-'));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * The environment of every child. NODE_OPTIONS, NODE_EXTRA_CA_CERTS and the like multiply the cost
 * of a start of Node, so no child inherits them.
 */
export const cleanEnvironment = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' } as const;

/** A child process that talks in lines. */
export class Child {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(command: string, args: readonly string[]) {
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: cleanEnvironment });
    const { stdout } = this.process;
    if (stdout === null) throw new Error('No stdout.');
    this.#reader = createInterface({ input: stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** Returns the next line that it prints. */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`${this.process.spawnargs.join(' ')} ended without a word`);
    return value;
  }

  say(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const { process } = this;
    if (process.exitCode === null && process.signalCode === null) {
      const exit = once(process, 'exit');
      process.kill(signal);
      await exit;
    }
    this.#reader.close();
  }
}

/** Starts a program of `bench/programs/` with this version of Node. */
export function node(name: string, ...args: readonly string[]): Child {
  return nodeOf(process.execPath, name, ...args);
}

/** Does the same with another version of Node. */
export function nodeOf(path: string, name: string, ...args: readonly string[]): Child {
  return new Child(path, [program(name), ...args]);
}

/** Returns the clock that all processes of this machine share, in microseconds. */
export function sharedClock(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

export interface Machine {
  readonly processor: string;
  readonly processors: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly tmpfs: string;
  readonly disk: string;
}

export function describeMachine(): Machine {
  const all = cpus();
  return {
    processor: all[0]?.model ?? 'unknown',
    processors: all.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    tmpfs: fileSystem(places.tmpfs),
    disk: fileSystem(places.disk),
  };
}

/** Returns how many processes wanted to run, over the last minute. */
export function load(): number {
  return loadavg()[0] ?? Number.NaN;
}

function fileSystem(path: string): string {
  try {
    return execFileSync('stat', ['--file-system', '--format=%T', path], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

/** Returns the revision that is measured, and whether the tree differs from it. */
export function revision(): string {
  try {
    const run = (...args: string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
    return run('describe', '--always', '--dirty');
  } catch {
    return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;
  }
}
