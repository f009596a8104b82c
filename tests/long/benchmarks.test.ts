/**
 * The benchmarks themselves are no tests: these say that they run, and that the page says what was
 * recorded. No times are looked at.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const onLinux = { skip: process.platform === 'linux' ? false : 'the benchmarks are for Linux' };

function bench(...args: string[]): string {
  return execFileSync(process.execPath, ['scripts/bench.mjs', '--built', ...args], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

test('the smallest run of a part → its figures, all of them positive, for each subject in each group', onLinux, () => {
  const { measurements } = JSON.parse(bench('claim', '--tiny', '--json')) as {
    measurements: { group: string; subject: string; values: number[] }[];
  };
  for (const group of ['tmpfs', 'disk']) {
    const subjects = measurements.filter((one) => one.group === group).map(({ subject }) => subject);
    for (const subject of ['plain', 'reuseaddr', 'proper-lockfile', 'lock by hand', 'C'])
      assert.ok(subjects.includes(subject), subject);
  }
  for (const { values, subject } of measurements) assert.ok(values.length > 0 && values.every((value) => value > 0), subject);
});

test(
  'the smallest run of the parts with several processes → figures for each server, and shares of at most 100 %',
  onLinux,
  () => {
    const { measurements } = JSON.parse(bench('instances', 'takeover', '--tiny', '--json')) as {
      measurements: { group: string; subject: string; unit: string; values: number[] }[];
    };
    const subjects = new Set(measurements.map(({ subject }) => subject));
    for (const subject of ['reuseaddr run', 'node:cluster, round robin', 'node:cluster, SCHED_NONE', 'steady', 'takeover'])
      assert.ok(subjects.has(subject), subject);
    for (const { group, unit, values } of measurements)
      for (const value of values) assert.ok(value > 0 && (unit !== '%' || value <= 100), `${group}: ${value} ${unit}`);
  },
);

test('a part that does not exist → a usage error that names those that do', onLinux, () => {
  assert.throws(() => bench('everything'), { status: 2 });
});

test('the page → says what the recorded run says, and bench:check has a line for each aim', onLinux, async () => {
  const recording = JSON.parse(readFileSync(join(root, 'bench/results/recorded.json'), 'utf8')) as object;
  const page = readFileSync(join(root, 'bench/README.md'), 'utf8');
  const built = pathToFileURL(join(root, 'build/bench/page.js')).href;
  const { fillPage } = (await import(built)) as { fillPage: (text: string, recording: object) => string };
  assert.equal(fillPage(page, recording), page);
  for (const line of bench('--check').trim().split('\n')) assert.match(line, /^(met|missed) +\S.*, aim /);
});
