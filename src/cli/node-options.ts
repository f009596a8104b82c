import type { Command } from './command.js';
import { status } from './status.js';

export const command: Command = {
  name: 'node-options',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description: `Prints a value for NODE_OPTIONS with which Node.js loads the preload, reuseaddr/register, into
every process that gets the variable, in whatever directory it runs. The path in it is absolute, and
options that NODE_OPTIONS has already are kept.`,
  statuses: '0 done, 2 wrong usage',
  options: {},
  examples: [['NODE_OPTIONS="$(reuseaddr node-options)" npm start', 'load the preload into the processes of a script']],
  run({ terminal }) {
    terminal.print(`${withPreload(process.env['NODE_OPTIONS'], import.meta.resolve('reuseaddr/register'))}\n`);
    return Promise.resolve(status.done);
  },
};

/** Adds the preload to the options. A file URL needs no quotes: spaces, quotes and backslashes are encoded in it. */
function withPreload(options: string | undefined, url: string): string {
  const option = `--import=${url}`;
  const before = options?.trim() ?? '';
  if (before === '') return option;
  return before.split(' ').includes(option) ? before : `${before} ${option}`;
}
