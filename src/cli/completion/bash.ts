import type { Option } from '../command.js';
import type { Described } from './described.js';

/**
 * Makes the script for bash 3.2 (macOS) and later. `complete -o default` completes file names if
 * the function finds nothing.
 */
export function bash(commands: readonly Described[]): string {
  const names = commands.map(({ name }) => name).join(' ');
  return `_reuseaddr() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} options= words=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '${names} --help --version' -- "$current"))
    return
  fi
  case \${COMP_WORDS[1]} in
${commands.map(branch).join('\n')}
    help) words='${names}' ;;
  esac
  # \`=\` is a word of its own to bash: --state = sta
  [[ $current == = ]] && current= || { [[ $before == = ]] && before=\${COMP_WORDS[COMP_CWORD - 2]}; }
  case "\${COMP_WORDS[1]} $before" in
${commands.flatMap(valueBranches).join('\n')}
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}
complete -o default -F _reuseaddr reuseaddr
`;
}

function branch({ name, options, words }: Described): string {
  const spelt = Object.entries(options).map(([option, described]) => spell(option, described));
  return `    ${name}) options='${spelt.join(' ')}'${words === undefined ? '' : ` words='${words.join(' ')}'`} ;;`;
}

/** Returns the values of an option, if they are known. */
function valueBranches({ name, options }: Described): string[] {
  const known = Object.entries(options).filter(([, { values }]) => values !== undefined);
  return known.map(([option, { values = [] }]) => `    '${name} --${option}') words='${values.join(' ')}' ;;`);
}

function spell(name: string, { value, valueIsOptional }: Option): string {
  return value === undefined || valueIsOptional ? `--${name}` : `--${name}=`;
}
