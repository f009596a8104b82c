import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { installPacked, root } from '../package/installed.js';

/**
 * A user's folder with the packed file installed, and the examples below it. Remove it at the end.
 */
export function copyExamples(): string {
  const folder = installPacked();
  fs.cpSync(join(root, 'examples'), join(folder, 'examples'), { recursive: true });
  return folder;
}

/**
 * Runs an example's command. Gives what it printed on stdout; throws unless it ends with status 0.
 */
export async function runExample(folder: string, name: string, command: string): Promise<string> {
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` };
  // A process group of its own, so that nothing is left of it.
  const child = spawn('sh', ['-c', command], {
    cwd: join(folder, 'examples', name),
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let printed = '';
  let complained = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (printed += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (complained += text));
  const status = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(code ?? signal));
  });
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // Nothing is left, as it should be.
  }
  if (status !== 0) throw new Error(`${command} ended with ${String(status)}:\n${printed}${complained}`);
  return printed;
}
