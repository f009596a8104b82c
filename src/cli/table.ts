import type { Style, Terminal } from './terminal.js';
import { widthOf } from './text.js';

export interface Cell {
  readonly text: string;
  readonly style?: Style | undefined;
}

const gap = '  ';

/**
 * The last column is cut at the terminal's edge, but keeps at least this width: the pid of a
 * holder, and the name of its program.
 */
const lastWidthMin = 14;

/** The first column keeps at least this width on a narrow terminal. */
const firstWidthMin = 16;

/** In a pipe, a single long cell widens its column to at most this. */
const pipedWidthMax = 60;

/**
 * Formats an aligned table.
 *
 * On a terminal every row fits the width: the last cell is cut. A first cell that is too long for
 * its column stands on a line of its own, like in df(1), because people copy it. In a pipe nothing
 * is cut, and a row is a line.
 */
export function table(header: readonly string[], rows: readonly (readonly Cell[])[], { columns, style }: Terminal): string {
  const head = header.map((text): Cell => ({ text, style: 'bold' }));
  const widths = header.map((_text, column) => Math.max(...[head, ...rows].map((row) => widthOf(row[column]?.text ?? ''))));
  const between = sum(widths.slice(1, -1)) + gap.length * (header.length - 1);
  const firstMax = columns === undefined ? Infinity : Math.max(firstWidthMin, columns - between - lastWidthMin);
  widths[0] = Math.min(widths[0] ?? 0, columns === undefined ? pipedWidthMax : firstMax);
  const lastMax = columns === undefined ? Infinity : Math.max(lastWidthMin, columns - between - widths[0]);

  const line = (row: readonly Cell[]): string => {
    const first = row[0] ?? { text: '' };
    const alone = widthOf(first.text) > firstMax;
    const cells = (alone ? [{ text: '' }, ...row.slice(1)] : row).map((cell, column) => {
      if (column === row.length - 1) return style(cell.style ?? 'reset', cut(cell.text, lastMax));
      const padding = ' '.repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell.text)));
      return (cell.style === undefined ? cell.text : style(cell.style, cell.text)) + padding;
    });
    return `${alone ? `${first.text}\n` : ''}${cells.join(gap).trimEnd()}\n`;
  };
  return [head, ...rows].map(line).join('');
}

function cut(text: string, widthMax: number): string {
  if (widthOf(text) <= widthMax) return text;
  let width = 0;
  let kept = '';
  for (const character of text) {
    width += widthOf(character);
    if (width > widthMax - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
