import type { Terminal } from './terminal.js';

/** An option of a command. */
export interface Option {
  readonly summary: string;
  readonly short?: string;
  /** What its value is called in the help. Without one it is a switch. */
  readonly value?: string;
  /** The values that it can have, for completion. Without them: whatever fits. */
  readonly values?: readonly string[];
  /** `--name` alone is right too, and means the value ''. A value must then be written `--name=value`. */
  readonly valueIsOptional?: true;
}

/** What was asked of a command. */
export interface Invocation {
  readonly operands: readonly string[];
  /** A string, or `true` for a switch. */
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
  readonly terminal: Terminal;
}

/** One command. Its help, its usage errors and its completion are all made of this. */
export interface Command {
  readonly name: string;
  /** The operands, as usage shows them: `ADDRESS`, `[PATH…]`. */
  readonly operands: string;
  readonly operandsMin: number;
  readonly operandsMax: number;
  /** What follows the first operand is not ours to read: a program and its own options. */
  readonly optionsEndAtOperand?: true;
  readonly description: string;
  /** What its exit statuses mean, where that is not `0 done, 1 failed, 2 wrong usage, 3 the address is in use`. */
  readonly statuses?: string;
  readonly options: Readonly<Record<string, Option>>;
  readonly examples: readonly (readonly [line: string, meaning: string])[];
  /** Words that complete an operand. Without them: file names. */
  readonly words?: readonly string[];
  /** Gives the exit status. */
  run(invocation: Invocation): Promise<number>;
}

/** The command was called wrongly: usage goes to stderr, status 2. */
export class UsageError extends Error {
  /** The option that was given, where there is none of this name. */
  readonly unknownOption: string | undefined;

  constructor(message: string, unknownOption?: string) {
    super(message);
    this.unknownOption = unknownOption;
  }
}
