import type { Command } from '../command.js';

/** A command, in the form that the scripts need. */
export interface Described {
  readonly name: string;
  readonly summary: string;
  readonly options: Command['options'];
  readonly words: readonly string[] | undefined;
  /** The first operand begins the command line of another program. */
  readonly runsProgram: boolean;
}
