import type { Option } from '../command.js';
import type { Described } from './described.js';

/**
 * Makes the script for zsh. It works as a function file in $fpath and when it is sourced.
 *
 * @see zshcompsys(1), _arguments
 */
export function zsh(commands: readonly Described[]): string {
  return `#compdef reuseaddr
_reuseaddr() {
  local -a commands=(
${commands.map(({ name, summary }) => `    ${quote(`${name}:${summary}`)}`).join('\n')}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    _values option --help --version
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${commands.map(branch).join('\n')}
    help) _describe command commands ;;
  esac
}
if [[ $funcstack[1] == _reuseaddr ]]; then
  _reuseaddr "$@"
else
  compdef _reuseaddr reuseaddr
fi
`;
}

function branch({ name, options, words, runsProgram }: Described): string {
  const specs = Object.entries(options).map(([option, described]) => quote(spell(option, described)));
  const operand = words === undefined ? "'*:address or path:_files'" : quote(`1:word:(${words.join(' ')})`);
  const operands = runsProgram ? "'1:address:_files' '*::program:_normal'" : operand;
  return `    ${name}) _arguments ${[...specs, operands].join(' ')} ;;`;
}

function spell(name: string, { summary, value, values, valueIsOptional }: Option): string {
  const text = summary.replaceAll(/[[\]:]/g, '');
  if (value === undefined) return `--${name}[${text}]`;
  return `--${name}=${valueIsOptional ? '-' : ''}[${text}]:${valueIsOptional ? ':' : ''}${value}:${values === undefined ? '' : `(${values.join(' ')})`}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
