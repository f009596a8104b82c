import type { Look } from './soakRecord.js';

export interface Line {
  readonly at: number;
  readonly text: string;
}

/** What happened in a round, in order, and what is wrong with it. */
export function report(title: string, found: readonly string[], lines: readonly Line[], looks: readonly Look[]): string {
  const all = [...lines, ...summarize(looks)].sort((a, b) => a.at - b.at);
  const first = all[0]?.at ?? 0;
  const timeline = all.map(({ at, text }) => `${(at - first).toFixed(2).padStart(10)} ms  ${text}`);
  const numbered = found.map((text) =>
    text.replace(/at (\d+\.\d+)/, (_, at: string) => `at ${(Number(at) - first).toFixed(2)} ms`),
  );
  return `${title}: ${numbered.slice(0, 20).join('\n')}\n\ntimeline of the round\n${timeline.join('\n')}`;
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
