import { median, quartiles, ratio, type Measurement } from './measure.js';
import { groupsOf } from './recording.js';

/** The figures of one subject, ready to be printed. */
export interface Row {
  readonly subject: string;
  readonly median: string;
  readonly spread: string;
  /** To the first subject of the group. */
  readonly ratio: string;
}

/** Groups whose subjects are not there to be compared with the first. */
const incomparable: ReadonlySet<string> = new Set(['import']);

export function rowsOf(group: readonly Measurement[]): readonly Row[] {
  const [first] = group;
  return group.map((one) => {
    const comparable = first !== undefined && !incomparable.has(one.group) && median(first.values) > 0;
    const [low, high] = quartiles(one.values);
    const compared = comparable ? ratio(one, first).median : Number.NaN;
    return {
      subject: one.subject,
      median: `${figure(median(one.values))} ${one.unit}`,
      spread: `${figure(low)} – ${figure(high)}`,
      ratio: Number.isFinite(compared) ? compared.toFixed(2) : '',
    };
  });
}

/** Three digits. */
export function figure(value: number): string {
  if (value === 0) return '0';
  if (value >= 1000) return Math.round(value).toLocaleString('en');
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

export function textTables(measurements: readonly Measurement[]): string {
  return groupsOf(measurements)
    .map((group) => {
      const [first] = group;
      const rows = rowsOf(group).map(
        ({ subject, median: middle, spread, ratio: compared }) =>
          `  ${subject.padEnd(30)} ${middle.padStart(16)}   ${spread.padEnd(18)} ${compared.padStart(7)}`,
      );
      return `${first?.part} · ${first?.group}\n${rows.join('\n')}\n`;
    })
    .join('\n');
}

export function markdownTable(group: readonly Measurement[]): string {
  const rows = rowsOf(group);
  const compared = rows.some(({ ratio: one }) => one !== '');
  const cells = rows.map(({ subject, median: middle, spread, ratio: one }) => [
    subject,
    middle,
    spread,
    ...(compared ? [one] : []),
  ]);
  const head = [group[0]?.group ?? '', 'median', 'half of all', ...(compared ? ['ratio'] : [])];
  const line = (row: readonly string[]): string => `| ${row.join(' | ')} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '---:'))), ...cells.map(line)].join('\n');
}
