/**
 * The tables and plots of `bench/README.md`, between marks that name them. The rest of the page
 * is written by hand.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './environment.js';
import { drawPlots } from './plots.js';
import { reachLines, type ReachLine } from './reach.js';
import type { Recording } from './recording.js';
import { figure, markdownTables } from './tables.js';

const page = join(root, 'bench/README.md');

/**
 * Groups that the plots show, or another table in more detail. The aims have the ratios of Node 24.
 */
const elsewhere = /^(one more address|SO_SNDBUF \(C\)|processor time|(start|no|http|command) .*Node 24)$/;

/** Subjects between others of the same series. */
const between: ReadonlySet<string> = new Set(
  'backlog 16, backlog 128, 8 starters, 128 starters, 4 standbys, 64 standbys, 1000 sockets'.split(', '),
);

export function writePage(recording: Recording): void {
  writeFileSync(page, fillPage(readFileSync(page, 'utf8'), recording));
  const folder = join(root, 'bench/plots');
  mkdirSync(folder, { recursive: true });
  for (const [name, svg] of drawPlots(recording)) writeFileSync(join(folder, `${name}.svg`), svg);
}

/** Puts the figures between the marks. */
export function fillPage(text: string, recording: Recording): string {
  return text.replaceAll(/<!-- figures: (\w+) -->\n[^]*?<!-- end -->/g, (_, name: string) => {
    return `<!-- figures: ${name} -->\n${figures(name, recording)}\n<!-- end -->`;
  });
}

function figures(name: string, recording: Recording): string {
  if (name === 'run') return describeRun(recording);
  if (name === 'reach') return reachTable(recording);
  const shown = recording.measurements.filter(({ group, subject }) => !elsewhere.test(group) && !between.has(subject));
  return markdownTables(shown.filter(({ part, group }) => part === name && !group.startsWith('C: ')));
}

function describeRun({ recorded, revision, machine, loads }: Recording): string {
  const { processor, processors, memoryGiB, kernel, node, tmpfs, disk } = machine;
  const words = [
    `Recorded ${recorded.slice(0, 16).replace('T', ' ')} UTC at ${revision}: ${processors} processors (${processor}, virtual),`,
    `${memoryGiB} GiB, Linux ${kernel}, Node ${node}; ${tmpfs} and ${disk}. The machine is shared; its load average was`,
    `${figure(Math.min(...loads))} to ${figure(Math.max(...loads))}.`,
  ].join(' ');
  return wrap(words);
}

/** Breaks prose where the rest of the page is broken. */
function wrap(prose: string): string {
  return prose.replaceAll(/(.{1,100})(?: |$)/g, '$1\n').trimEnd();
}

/** A row for each name, in which the variants follow each other. */
function reachTable(recording: Recording): string {
  const lines = reachLines(recording);
  const rows = [...new Set(lines.map(({ name }) => name))].map((name) => {
    const variants = lines.filter((line) => line.name === name);
    const limits = [...new Set(variants.map(({ limit }) => limit))].join(', ');
    return `| ${name} | ${limits} | ${variants.map(reached).join('; ')} |`;
  });
  return ['| | aim | ratio (half of all rounds) |', '|---|---|---|', ...rows].join('\n');
}

function reached({ variant, figure: value, met }: ReachLine): string {
  return `${variant === '' ? '' : `${variant}: `}${met === false ? `**${value}**` : value}`;
}
