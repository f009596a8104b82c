/** `npm run bench`: measures, and prints the results. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine, load, revision, root } from './environment.js';
import type { Measurement, Run } from './measure.js';
import { writePage } from './page.js';
import { measureBytes } from './parts/bytes.js';
import { measureClaim } from './parts/claim.js';
import { measureInstances } from './parts/instances.js';
import { measureFailover } from './parts/failover.js';
import { measureGrowth } from './parts/growth.js';
import { measureHandover } from './parts/handover.js';
import { measureLoading } from './parts/loading.js';
import { measureStart } from './parts/start.js';
import { measureTakeover } from './parts/takeover.js';
import { measureTcp } from './parts/tcp.js';
import { reachLines } from './reach.js';
import type { Recording } from './recording.js';
import { textTables } from './tables.js';

const parts: Readonly<Record<string, (run: Run) => Promise<Measurement[]>>> = {
  claim: measureClaim,
  start: measureStart,
  loading: measureLoading,
  failover: measureFailover,
  handover: measureHandover,
  takeover: measureTakeover,
  instances: measureInstances,
  bytes: measureBytes,
  tcp: measureTcp,
  growth: measureGrowth,
};

const recorded = join(root, 'bench/results/recorded.json');

const usage = `npm run bench -- [PART...] [--quick] [--json] [--record]
npm run bench:check [-- FILE]

  PART      ${Object.keys(parts).join(', ')}; all of them unless named
  --quick   under a minute, with fewer rounds
  --json    print the raw figures
  --record  keep the figures in bench/results/recorded.json, and draw bench/README.md from them
  --page    draw bench/README.md from the recorded figures, without measuring`;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    // For the test that the benchmarks run at all.
    tiny: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    page: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const unknown = options.check ? [] : positionals.filter((name) => !(name in parts));
if (options.help || unknown.length > 0) {
  if (unknown.length > 0) console.error(`There is no part "${unknown.join(' ')}".`);
  console.error(usage);
  process.exitCode = options.help ? 0 : 2;
} else if (options.check) {
  for (const line of reachLines(read(positionals[0] ?? recorded))) console.log(line.text);
} else if (options.page) writePage(read(recorded));
else await measureAll();

async function measureAll(): Promise<void> {
  const recording = await measure(positionals.length > 0 ? positionals : Object.keys(parts));
  if (options.record) {
    mkdirSync(dirname(recorded), { recursive: true });
    writeFileSync(recorded, format(recording));
    writePage(read(recorded));
  }
  console.log(options.json ? format(recording) : textTables(recording.measurements));
  if (!options.json) for (const line of reachLines(recording)) console.log(line.text);
}

async function measure(names: readonly string[]): Promise<Recording> {
  const begin = performance.now();
  const seconds = (): string => `${((performance.now() - begin) / 1000).toFixed(0).padStart(4)} s`;
  const size = options.tiny ? 'tiny' : options.quick ? 'quick' : 'full';
  const run: Run = { size, say: (what) => console.error(`${seconds()}  ${what}`) };
  const loads = [load()];
  const measurements: Measurement[] = [];
  for (const [name, measurePart] of Object.entries(parts)) {
    if (!names.includes(name)) continue;
    measurements.push(...(await measurePart(run)));
    loads.push(load());
  }
  return { recorded: new Date().toISOString(), revision: revision(), size, machine: describeMachine(), loads, measurements };
}

function read(file: string): Recording {
  return JSON.parse(readFileSync(file, 'utf8')) as Recording;
}

/**
 * One measurement a line, so that two recordings can be compared. Four digits are more than any of
 * them is worth.
 */
function format({ measurements, ...about }: Recording): string {
  const short = (value: number): number => Number(value.toPrecision(4));
  const lines = measurements.map((one) => JSON.stringify({ ...one, values: one.values.map(short) }));
  return `${JSON.stringify(about, undefined, 2).slice(0, -2)},\n  "measurements": [\n    ${lines.join(',\n    ')}\n  ]\n}\n`;
}
