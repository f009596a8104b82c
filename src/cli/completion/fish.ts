import type { Option } from '../command.js';
import type { Described } from './described.js';

/**
 * Makes the script for fish.
 *
 * @see https://fishshell.com/docs/current/completions.html
 */
export function fish(commands: readonly Described[]): string {
  return `complete -c reuseaddr -n __fish_use_subcommand -f
complete -c reuseaddr -n __fish_use_subcommand -s h -l help -d 'print the help, and exit'
complete -c reuseaddr -n __fish_use_subcommand -s V -l version -d 'print the version, and exit'
${commands.map(describe).join('\n')}
`;
}

function describe({ name, summary, options, words }: Described): string {
  const seen = `-n '__fish_seen_subcommand_from ${name}'`;
  const lines = [`complete -c reuseaddr -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`];
  for (const [option, described] of Object.entries(options)) {
    lines.push(`complete -c reuseaddr ${seen} ${spell(option, described)} -d ${quote(described.summary)}`);
  }
  if (words !== undefined) lines.push(`complete -c reuseaddr ${seen} -f -a ${quote(words.join(' '))}`);
  return lines.join('\n');
}

function spell(name: string, { short, value, values, valueIsOptional }: Option): string {
  const known = values === undefined ? '' : ` -f -a ${quote(values.join(' '))}`;
  return `${short === undefined ? '' : `-s ${short} `}-l ${name}${value === undefined || valueIsOptional ? '' : ' -r'}${known}`;
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`;
}
