import type { Terminal } from './terminal.js';

/** An option of a command. */
export interface Option {
  readonly summary: string;
  readonly short?: string;
  /** The name of its value in the help. Without one it is a switch. */
  readonly value?: string;
  /** The possible values, for completion. Without them, any value may do. */
  readonly values?: readonly string[];
  /**
   * `--name` alone is valid too, and means the value ''. A value must then be written
   * `--name=value`.
   */
  readonly valueIsOptional?: true;
}

/** A call of a command. */
export interface Invocation {
  readonly operands: readonly string[];
  /** A string, or `true` for a switch. */
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
  readonly terminal: Terminal;
  /** All commands. */
  readonly commands: Commands;
}

/** The commands by their names, in the order of the help. */
export type Commands = Readonly<Record<string, Entry>>;

export interface Entry {
  readonly summary: string;
  /** Loads the command when it is called, so that none delays the start of another. */
  readonly load: () => Promise<{ readonly command: Command }>;
}

/** One command. Its help, its usage errors and its completion are all made from this. */
export interface Command {
  readonly name: string;
  /** The operands, as usage shows them: `ADDRESS`, `[PATH…]`. */
  readonly operands: string;
  readonly operandsMin: number;
  readonly operandsMax: number;
  /** Everything after the first operand belongs to a program, with its own options. */
  readonly optionsEndAtOperand?: true;
  readonly description: string;
  /**
   * The meaning of its exit statuses, if it is not `0 done, 1 failed, 2 wrong usage, 3 the address
   * is in use`.
   */
  readonly statuses?: string;
  readonly options: Readonly<Record<string, Option>>;
  readonly examples: readonly (readonly [line: string, meaning: string])[];
  /** Words that complete an operand. Without them: file names. */
  readonly words?: readonly string[];
  /** Runs the command. Returns the exit status. */
  run(invocation: Invocation): Promise<number>;
}

/** The command was called wrongly: usage goes to stderr, status 2. */
export class UsageError extends Error {
  /** The given option, if there is none of this name. */
  readonly unknownOption: string | undefined;

  constructor(message: string, unknownOption?: string) {
    super(message);
    this.unknownOption = unknownOption;
  }
}
