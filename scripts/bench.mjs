/** `npm run bench`: installs and builds what is missing, what it compares with too, then runs `bench/main.ts`. */
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { prepare } from './prepare.mjs';
import { main, root, run, runAttached, step } from './step.mjs';

const peers = join(root, 'bench/peers');
const mark = join(peers, 'node_modules/.installed-lock.json');

await main(async () => {
  // Standard output is for the figures.
  console.log = console.error;
  await prepare(['bench']);
  if (!peersAreInstalled()) await step('install peers', installPeers);
  await step('compile floor', compileFloor);
  process.exitCode = await runAttached(process.execPath, [`${root}/build/bench/main.js`, ...process.argv.slice(2)]);
});

function peersAreInstalled() {
  return existsSync(mark) && readFileSync(mark, 'utf8') === readFileSync(join(peers, 'package-lock.json'), 'utf8');
}

/** Without their install scripts. */
async function installPeers() {
  await run('npm', ['ci', '--prefix', peers, '--ignore-scripts', '--no-audit', '--no-fund']);
  copyFileSync(join(peers, 'package-lock.json'), mark);
}

/** The same in C, by the compiler that builds the addon. */
async function compileFloor() {
  const [compiler, ...flags] = (process.env.CC || 'cc').trim().split(/\s+/);
  mkdirSync(join(root, 'build'), { recursive: true });
  const [source, output] = [join(root, 'bench/native/floor.c'), join(root, 'build/bench-floor')];
  await run(compiler, [...flags, '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', source, '-o', output]);
}
