/**
 * - `npm test` installs and builds what is missing, runs the checks, then every test.
 * - `npm test -- --only claim/acquire` runs only the test files whose path contains that, without
 *   the checks.
 * - `npm run test:long` runs the tests in `tests/long`. They need more time, or more than Node and
 *   a compiler.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { runChecks } from './checks.mjs';
import { prepare } from './prepare.mjs';
import { inReadableFolder } from './readable.mjs';
import { exitStatus, main, root, runAttached } from './step.mjs';

/**
 * Ten times as long as the slowest file takes on two busy cores. Only a test that hangs reaches it.
 */
const hangMs = { short: 3_600_000, long: 7_200_000 };

/** The lines of node:test's closing summary. */
const summaryLine = /^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) .*$/gm;

const { values } = parseArgs({ options: { only: { type: 'string', multiple: true, default: [] }, long: { type: 'boolean' } } });
const isLong = (file) => file.startsWith('long/');

await main(async () => {
  if (values.long) {
    await prepare(['tests', 'bench']);
    const files = allTests().filter(isLong);
    process.exitCode = await runTests(values.only.length === 0 ? files : testFiles(values.only, files));
    return;
  }
  if (values.only.length === 0) {
    await prepare(['tests', 'demo']);
    await runChecks();
    process.exitCode = await runTests(allTests().filter((file) => !isLong(file)));
    return;
  }
  // A file that is half-written should not keep another one from being tested.
  await prepare(values.only.some((part) => part.includes('bench')) ? ['tests', 'bench'] : ['tests'], { despiteTypeErrors: true });
  const status = await runTests(testFiles(values.only, allTests()));
  process.exitCode = status === 0 ? process.exitCode : status;
});

/** Runs these test files. */
async function runTests(files) {
  if (files.length === 0) return 2;
  return await inReadableFolder((folder) => runTestsIn(folder, files));
}

/**
 * Runs node:test on these files, each by its name: a glob fails on Node 20, and a folder on Node
 * 24.
 */
async function runTestsIn(folder, files) {
  const args = [
    '--test',
    '--test-concurrency=2',
    `--test-timeout=${values.long ? hangMs.long : hangMs.short}`,
    ...['spec', `${root}/scripts/progress.mjs`].flatMap((reporter) => [
      `--test-reporter=${reporter}`,
      '--test-reporter-destination=stdout',
    ]),
    ...files,
  ];
  const cwd = `${folder}/build/tests`;
  if (process.stdout.isTTY) return await runAttached(process.execPath, args, cwd);
  const child = spawn(process.execPath, args, { cwd, stdio: ['inherit', 'pipe', 'inherit'] });
  let tail = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    tail += text;
    process.stdout.write(text);
  });
  const status = await exitStatus(child);
  // The failures are printed after the summary. Programs that read the output look for the summary
  // at its end.
  const summary = tail.match(summaryLine) ?? [];
  if (status !== 0 && summary.length > 0) process.stdout.write(`\n${summary.slice(-8).join('\n')}\n`);
  return status;
}

/** Returns all compiled test files, by their paths below `build/tests`. */
function allTests() {
  return readdirSync(`${root}/build/tests`, { recursive: true })
    .map((file) => String(file).replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.test.js'))
    .sort();
}

/**
 * Returns the test files whose path contains one of the wanted: `claim`,
 * `tests/claim/acquire.test.ts`.
 */
function testFiles(wanted, all) {
  const parts = wanted.map((part) => part.replace(/^(\.\/)?(build\/)?tests\//, '').replace(/\.ts$/, '.js'));
  const chosen = all.filter((file) => parts.some((part) => file.includes(part)));
  if (chosen.length > 0) return chosen;
  console.error(`No test file has ${wanted.join(' or ')} in its path. There are:\n  ${all.join('\n  ')}`);
  return [];
}
