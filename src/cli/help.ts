import { commands } from './commands.js';
import type { Command, Option } from './command.js';
import type { Terminal } from './terminal.js';

const statuses = '0 done, 1 failed, 2 wrong usage, 3 the address is in use';

/** Returns the text of `reuseaddr --help`. */
export function overview({ style }: Terminal): string {
  const entries = Object.entries(commands).map(([name, { summary }]) => [name, summary] as const);
  return `${style('bold', 'Usage:')} reuseaddr COMMAND [OPTION…] …

SO_REUSEADDR for Unix domain sockets.

${style('bold', 'Commands:')}
${columns(entries)}

${style('bold', 'Options:')}
${columns([
  ['-h, --help', 'print this help, or that of the command before it, and exit'],
  ['-V, --version', 'print the version, and exit'],
])}

An ADDRESS is a path (/run/app.sock) or an abstract name (@app, Linux); ./@app is a file.
Exit status: ${statuses}.
`;
}

/** Returns the text of `reuseaddr COMMAND --help`. */
export function helpOf(command: Command, { style }: Terminal): string {
  const options: [string, Option][] = [
    ...Object.entries(command.options),
    ['help', { short: 'h', summary: 'print this help, and exit' }],
  ];
  return `${style('bold', 'Usage:')} ${usageOf(command)}

${command.description}

${style('bold', 'Options:')}
${columns(options.map(([name, option]) => [spell(name, option), option.summary]))}

${style('bold', 'Examples:')}
${command.examples.map(([line, meaning]) => `  ${style('dim', `# ${meaning}`)}\n  ${line}`).join('\n')}

Exit status: ${command.statuses ?? statuses}.
`;
}

export function usageOf(command: Command): string {
  return `reuseaddr ${command.name} [OPTION…] ${command.operands}`.trimEnd();
}

function spell(name: string, { short, value, valueIsOptional }: Option): string {
  const argument = value === undefined ? '' : valueIsOptional ? `[=${value}]` : `=${value}`;
  return `${short === undefined ? '    ' : `-${short}, `}--${name}${argument}`;
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([term]) => term.length));
  return rows.map(([term, meaning]) => `  ${term.padEnd(width)}  ${meaning}`).join('\n');
}
