import type { Look } from './soakRecord.js';

export interface Line {
  readonly at: number;
  readonly text: string;
}

/** The events of a round, in order, and its faults. */
export function report(title: string, found: readonly string[], lines: readonly Line[], looks: readonly Look[]): string {
  const all = [...lines, ...summarize(looks)].sort((a, b) => a.at - b.at);
  const first = all[0]?.at ?? 0;
  const relative = (text: string): string =>
    text.replace(/at (\d+\.\d+)/, (_, at: string) => `at ${(Number(at) - first).toFixed(2)} ms`);
  const timeline = all.map(({ at, text }) => `${(at - first).toFixed(2).padStart(10)} ms  ${relative(text)}`);
  return `${title}: ${group(found).map(relative).join('\n')}\n\ntimeline of the round\n${timeline.join('\n')}`;
}

/** The same thing found again and again is one line, with the first time. */
function group(found: readonly string[]): string[] {
  const groups = new Map<string, string[]>();
  for (const text of found) {
    const kind = text.replace(/at \d+\.\d+/, '');
    groups.set(kind, [...(groups.get(kind) ?? []), text]);
  }
  return [...groups.values()].map(([first, ...more]) => `${first}${more.length > 0 ? ` (and ${more.length} times more)` : ''}`);
}

/** Looks one after the other that found the same are one line. */
function summarize(looks: readonly Look[]): Line[] {
  const runs: { at: number; to: number; found: string; count: number }[] = [];
  for (const { from, to, said, failure } of [...looks].sort((a, b) => a.from - b.from)) {
    const found = said ?? failure ?? 'closed without an answer';
    const last = runs.at(-1);
    if (last?.found === found) {
      last.count++;
      last.to = Math.max(last.to, to);
    } else runs.push({ at: from, to, found, count: 1 });
  }
  return runs.map(({ at, to, found, count }) => ({
    at,
    text: `observer: ${found}${count === 1 ? '' : `, ${count} times`} (${(to - at).toFixed(2)} ms)`,
  }));
}
