import { parseArgs, type ParseArgsConfig } from 'node:util';
import { UsageError, type Command, type Invocation } from './command.js';

type Options = NonNullable<ParseArgsConfig['options']>;

/**
 * Reads the arguments of a command.
 *
 * @throws {UsageError} the command was called wrongly
 */
export function readArguments(command: Command, args: readonly string[]): Pick<Invocation, 'operands' | 'options'> {
  const options: Options = { help: { type: 'boolean', short: 'h' } };
  for (const [name, { value, short }] of Object.entries(command.options)) {
    options[name] = { type: value === undefined ? 'boolean' : 'string', ...(short === undefined ? {} : { short }) };
  }
  const [ours, theirs] = split(command, args, options);
  requireJoinedValue(command, ours);
  const { values, positionals } = parse(ours, options);
  const operands = [...positionals, ...theirs];
  if (values['help'] !== true) refuseCount(command, operands);
  return { operands, options: values as Invocation['options'] };
}

function parse(args: readonly string[], options: Options): ReturnType<typeof parseArgs> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // The first sentence of Node's own message. The second one is advice for programmers.
    const [what = ''] = (error as Error).message.split(/\. |\n/, 1);
    const unknownOption = /^Unknown option '(--[^']+)'/.exec(what)?.[1];
    throw new UsageError(what.replace(/\.$/, ''), unknownOption);
  }
}

function refuseCount({ operands, operandsMin, operandsMax }: Command, given: readonly string[]): void {
  if (given.length < operandsMin) throw new UsageError(`Missing ${missing(operands, given.length)}`);
  if (given.length > operandsMax) throw new UsageError(`Too many operands: ${given[operandsMax] ?? ''}`);
}

/**
 * Returns the missing part of the operands: COMMAND, if only the address in `ADDRESS -- COMMAND
 * [ARG…]` is given.
 */
function missing(operands: string, givenCount: number): string {
  const required = operands.split(' ').filter((word) => word !== '--' && !word.startsWith('['));
  return required.slice(givenCount).join(' and ').replaceAll('…', '');
}

/** parseArgs does not support optional values: `--wait` is read as `--wait=`. */
function withOptionalValues(command: Command, args: readonly string[]): readonly string[] {
  const end = args.indexOf('--');
  return args.map((arg, index) => {
    const option = arg.startsWith('--') && (end < 0 || index < end) ? command.options[arg.slice(2)] : undefined;
    return option?.valueIsOptional ? `${arg}=` : arg;
  });
}

/** Refuses `--wait 5 ADDRESS`, in which 5 would be taken for the address. */
function requireJoinedValue(command: Command, args: readonly string[]): void {
  for (const [index, arg] of args.entries()) {
    if (arg === '--') return;
    const name = /^--([\w-]+)=$/.exec(arg)?.[1] ?? '';
    const value = args[index + 1] ?? '';
    if (command.options[name]?.valueIsOptional && /^\d*\.?\d+$/.test(value))
      throw new UsageError(`Write --${name}=${value}, or ./${value} for a file of that name`);
  }
}

/** Separates our own arguments from those of the program that will run. */
function split(command: Command, args: readonly string[], options: Options): readonly [readonly string[], readonly string[]] {
  const filled = withOptionalValues(command, args);
  if (!command.optionsEndAtOperand) return [filled, []];
  const { tokens } = parseArgs({ args: [...filled], options, allowPositionals: true, strict: false, tokens: true });
  const first = tokens.find((token) => token.kind === 'positional');
  if (first === undefined) return [filled, []];
  // Unchanged, because the program may have options of these names too.
  const rest = args.slice(first.index + 1);
  return [filled.slice(0, first.index + 1), rest[0] === '--' ? rest.slice(1) : rest];
}
