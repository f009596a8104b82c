import { styleText } from 'node:util';

export type Style = Parameters<typeof styleText>[0];

/** Where a command prints. */
export interface Terminal {
  /** Prints to stdout. Does nothing any more when its reader has gone. */
  print(text: string): void;
  /** Prints a line to stderr, behind the command's name. */
  complain(message: string): void;
  /** Colours text, where stdout is a terminal that wants it. */
  style(style: Style, text: string): string;
  /** The width, where stdout is a terminal. */
  readonly columns: number | undefined;
}

/** A terminal that doesn't know its width, as in some containers. */
const columnsDefault = 80;

/**
 * The terminal of this process. Colour: on a terminal only, and not when NO_COLOR is set (https://no-color.org) or it is a dumb one.
 */
export function openTerminal(): Terminal {
  const { stdout, stderr, env } = process;
  const coloured = stdout.isTTY && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  let gone = false;
  // `reuseaddr ls | head -1`: the reader has seen enough. What the command has to do it still does.
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
