import { UsageError, type Command, type Commands } from './command.js';
import { status } from './status.js';
import { bash } from './completion/bash.js';
import type { Described } from './completion/described.js';
import { fish } from './completion/fish.js';
import { zsh } from './completion/zsh.js';

const shells: Readonly<Record<string, (described: readonly Described[]) => string>> = { bash, zsh, fish };

export const command: Command = {
  name: 'completion',
  operands: 'bash|zsh|fish',
  operandsMin: 1,
  operandsMax: 1,
  description: 'Prints the script that completes the commands, options and paths of reuseaddr in a shell.',
  statuses: '0 done, 2 wrong usage',
  options: {},
  examples: [
    ['source <(reuseaddr completion bash)', 'in ~/.bashrc'],
    ['source <(reuseaddr completion zsh)', 'in ~/.zshrc, after compinit'],
    ['reuseaddr completion fish >~/.config/fish/completions/reuseaddr.fish', 'once'],
  ],
  words: Object.keys(shells),
  async run({ operands: [shell = ''], terminal, commands }) {
    const script = Object.hasOwn(shells, shell) ? shells[shell] : undefined;
    if (script === undefined) throw new UsageError(`There is no completion for '${shell}'`);
    terminal.print(script(await describeAll(commands)));
    return status.done;
  },
};

function describeAll(commands: Commands): Promise<readonly Described[]> {
  return Promise.all(
    Object.entries(commands).map(async ([name, { summary, load }]) => {
      const { command: loaded } = await load();
      const help = { help: { summary: 'print the help, and exit' } };
      return {
        name,
        summary,
        options: { ...loaded.options, ...help },
        words: loaded.words,
        runsProgram: loaded.optionsEndAtOperand === true,
      };
    }),
  );
}
