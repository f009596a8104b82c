import { styleText } from 'node:util';

export type Style = Parameters<typeof styleText>[0];

/** The output of a command. */
export interface Terminal {
  /** Prints to stdout. Does nothing after the reader is gone. */
  print(text: string): void;
  /** Prints a line to stderr, after the command's name. */
  complain(message: string): void;
  /** Colours text, if stdout is a terminal that supports it. */
  style(style: Style, text: string): string;
  /** The width, if stdout is a terminal. */
  readonly columns: number | undefined;
}

/** The width of a terminal that does not report it, as in some containers. */
const columnsDefault = 80;

/**
 * Opens the terminal of this process. Colour is on unless stdout is not a terminal, or a dumb one,
 * or NO_COLOR is set (https://no-color.org).
 */
export function openTerminal(): Terminal {
  const { stdout, stderr, env } = process;
  const coloured = stdout.isTTY && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  let gone = false;
  // `reuseaddr ls | head -1`: the reader needs no more output, but the command still does its work.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    gone = true;
    if (error.code === 'EPIPE') return;
    stderr.write(`reuseaddr: cannot write: ${error.message}\n`);
    process.exitCode = 1;
  });
  stderr.on('error', () => {});
  return {
    print: (text) => {
      if (!gone) stdout.write(text);
    },
    complain: (message) => void stderr.write(`reuseaddr: ${message}\n`),
    style: (style, text) => (coloured ? styleText(style, text, { validateStream: false }) : text),
    columns: stdout.isTTY ? stdout.columns || columnsDefault : undefined,
  };
}
