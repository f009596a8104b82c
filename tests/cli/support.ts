import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { kernel } from '#dist/kernel/posix.js';

/** The command, as npm would link it. */
export const reuseaddr = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
}

/** Runs the command to its end. Not execFileSync: the servers that it asks may be this process. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return await runProgram([process.execPath, reuseaddr, ...args], options);
}

/** Runs it on a terminal of so many columns, script(1). */
export async function runOnTerminal(args: readonly string[], columns: number, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const words = [process.execPath, reuseaddr, ...args].map((word) => `'${word}'`).join(' ');
  const command = ['script', '-qec', `stty cols ${columns} -onlcr; exec ${words}`, '/dev/null'];
  return (await runProgram(command, { env: { ...process.env, TERM: 'xterm', NO_COLOR: '', ...env } })).stdout;
}

export async function runProgram([command = '', ...args]: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { input = '', ...rest } = options;
  const child = spawn(command, args, { ...rest, stdio: 'pipe' });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  }
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, ...said };
}

/** Leaves a socket file that no process is bound to. */
export function leaveStale(path: string): void {
  const fd = kernel.socket();
  if (typeof fd === 'string' || kernel.bind(fd, path) !== 0 || kernel.close(fd) !== 0) throw new Error(`no socket at ${path}`);
}
