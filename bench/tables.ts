import { median, quartiles, ratio, type Measurement } from './measure.js';
import { groupsOf } from './recording.js';

/** The figures of one subject, ready to be printed. */
export interface Row {
  readonly subject: string;
  readonly median: string;
  readonly spread: string;
  /** The ratio to the first subject of the group. */
  readonly ratio: string;
}

/** Groups, and parts, whose subjects are not compared with the first one. */
const incomparable: ReadonlySet<string> = new Set(['import', 'instances']);

export function rowsOf(group: readonly Measurement[]): readonly Row[] {
  const [first] = group;
  return group.map((one) => {
    const comparable =
      first !== undefined && !incomparable.has(one.group) && !incomparable.has(one.part) && median(first.values) > 0;
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

/** Formats a value with three digits. */
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

/**
 * Makes tables. Groups of the same subjects share one: a row for each group, a column for each
 * subject. Any other group has a row for each subject. A unit stands once for each group.
 */
export function markdownTables(measurements: readonly Measurement[]): string {
  const alike = new Map<string, (readonly Measurement[])[]>();
  for (const group of groupsOf(measurements)) {
    const subjects = group.map(({ subject }) => subject).join('\n');
    alike.set(subjects, [...(alike.get(subjects) ?? []), group]);
  }
  return [...alike.values()].map((groups) => (groups.length > 1 ? wideTable(groups) : tallTable(groups[0] ?? []))).join('\n\n');
}

function wideTable(groups: readonly (readonly Measurement[])[]): string {
  const rows = groups.map((group) => [`${group[0]?.group}, ${commonUnit(group)}`, ...cellsOf(group)]);
  return table(['', ...(groups[0] ?? []).map(({ subject }) => subject)], rows);
}

function tallTable(group: readonly Measurement[]): string {
  const values = cellsOf(group);
  return table(
    [group[0]?.group ?? '', commonUnit(group)],
    group.map(({ subject }, index) => [subject, values[index] ?? '']),
  );
}

/** Returns the unit of a group, or nothing if its subjects have several. */
function commonUnit(group: readonly Measurement[]): string {
  const units = new Set(group.map(({ unit }) => unit));
  return units.size === 1 ? [...units].join() : '';
}

/** The ratio follows the median, except for the subject that the others are compared with. */
function cellsOf(group: readonly Measurement[]): readonly string[] {
  const common = commonUnit(group);
  return rowsOf(group).map(({ median: middle, ratio: compared }, index) => {
    const value = common === '' ? middle : middle.slice(0, -common.length - 1);
    return compared === '' || index === 0 ? value : `${value} (${compared})`;
  });
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|---${'|---:'.repeat(head.length - 1)}|`, ...rows.map(line)].join('\n');
}
