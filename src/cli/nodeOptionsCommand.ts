import { createRequire } from 'node:module';
import type { Command } from './command.js';
import { status } from './status.js';

export const command: Command = {
  name: 'node-options',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description: `Prints a value for NODE_OPTIONS that loads the preload, reuseaddr/register, into every Node.js
process that inherits the variable, in any directory. The options that NODE_OPTIONS already has are
kept.`,
  statuses: '0 done, 2 wrong usage',
  options: {},
  examples: [['NODE_OPTIONS="$(reuseaddr node-options)" npm start', 'load the preload into the processes of a script']],
  run({ terminal }) {
    terminal.print(`${withPreload(process.env['NODE_OPTIONS'], createRequire(import.meta.url).resolve('reuseaddr/register'))}\n`);
    return Promise.resolve(status.done);
  },
};

/**
 * Adds the preload to the options by --require, which also works for modules. --import alone makes
 * the start of an empty program a third slower on Node 20.
 */
function withPreload(options: string | undefined, path: string): string {
  const option = `--require=${quoted(path)}`;
  const before = options?.trim() ?? '';
  if (before === '') return option;
  return ` ${before} `.includes(` ${option} `) ? before : `${before} ${option}`;
}

/**
 * Quotes a path for NODE_OPTIONS: within double quotes a space is literal, and a backslash makes
 * the next character literal.
 */
function quoted(path: string): string {
  return /[\s"\\]/.test(path) ? `"${path.replaceAll(/["\\]/g, String.raw`\$&`)}"` : path;
}
