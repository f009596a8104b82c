/**
 * Steps of a build or a check: prints one line for a step that succeeds, and all the output of a
 * tool that fails.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The repository's root folder, without a trailing slash. */
export const root = fileURLToPath(new URL('..', import.meta.url)).replace(/[/\\]$/, '');

/** A tool failed; `output` is what it printed. */
export class ToolFailed extends Error {
  constructor(command, output, status) {
    super(`${command} failed (${status})`);
    this.output = output;
  }
}

/**
 * Does the work, and prints its name with the time it took. Prints a failure in full, and throws.
 */
export async function step(name, work) {
  const start = performance.now();
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(1)} s`;
  try {
    const result = await work();
    console.log(`✓ ${name} (${seconds()})`);
    return result;
  } catch (error) {
    const output = error instanceof ToolFailed ? `${error.output.trimEnd()}\n${error.message}` : (error.stack ?? String(error));
    console.log(`✗ ${name} (${seconds()})\n${output}\n`);
    process.exitCode = 1;
    throw new StepFailed(name);
  }
}

/** A step failed, and its failure has been printed. */
export class StepFailed extends Error {}

/**
 * Runs an npm script's main function. A failed step ends it with status 1, without a second report.
 */
export async function main(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    process.exitCode = 1;
  }
}

/**
 * Runs a command in the root folder, and returns what it printed. Throws `ToolFailed` unless it
 * ends with status 0.
 */
export async function run(command, args) {
  // npm is a .cmd file on Windows, which only a shell can start.
  const shell = process.platform === 'win32' && command === 'npm';
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], shell });
  const printed = { out: '', all: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    printed.out += text;
    printed.all += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    printed.all += text;
  });
  const status = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
  if (status !== 0) throw new ToolFailed([command, ...args].join(' '), printed.all, status);
  return printed.out;
}

/**
 * Runs a tool of node_modules by its JavaScript file, without a shell or a .cmd file in between.
 */
export function runTool(file, ...args) {
  return run(process.execPath, [`${root}/node_modules/${file}`, ...args]);
}

/** Runs a command on this terminal, and returns its exit status. */
export async function runAttached(command, args, cwd = root) {
  const child = spawn(command, args, { cwd, stdio: 'inherit' });
  return await exitStatus(child);
}

/** Waits for a child's end; a signal counts as status 1. */
export async function exitStatus(child) {
  return await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}
