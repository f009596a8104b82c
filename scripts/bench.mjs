/**
 * `npm run bench`: installs and builds what is missing, including the packages for comparison, then
 * runs `bench/main.ts`.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { prepare } from './prepare.mjs';
import { main, root, run, runAttached, step } from './step.mjs';

const peers = join(root, 'bench/peers');
const mark = join(peers, 'node_modules/.installed-lock.json');
const floorSource = join(root, 'bench/native/floor.c');
const floor = join(root, 'build/bench-floor');

await main(async () => {
  const { log } = console;
  // Standard output is for the figures.
  console.log = console.error;
  // In a test run everything is built already, and a new build would change files that other tests
  // use.
  const built = process.argv.includes('--built');
  if (!built) await prepare(['bench']);
  if (!peersAreInstalled()) await step('install peers', installPeers);
  if (!isNewer(floor, floorSource)) await step('compile floor', compileFloor);
  console.log = log;
  const args = process.argv.slice(2).filter((arg) => arg !== '--built');
  process.exitCode = await runAttached(process.execPath, [`${root}/build/bench/main.js`, ...args]);
});

function peersAreInstalled() {
  return existsSync(mark) && readFileSync(mark, 'utf8') === readFileSync(join(peers, 'package-lock.json'), 'utf8');
}

/** Installs the packages for comparison, without their install scripts. */
async function installPeers() {
  await run('npm', ['ci', '--prefix', peers, '--ignore-scripts', '--no-audit', '--no-fund']);
  copyFileSync(join(peers, 'package-lock.json'), mark);
}

/** Compiles the same schemes in C, with the compiler that builds the addon. */
async function compileFloor() {
  const [compiler, ...flags] = (process.env.CC || 'cc').trim().split(/\s+/);
  mkdirSync(join(root, 'build'), { recursive: true });
  await run(compiler, [...flags, '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', floorSource, '-o', floor]);
}

function isNewer(file, than) {
  return existsSync(file) && statSync(file).mtimeMs > statSync(than).mtimeMs;
}
