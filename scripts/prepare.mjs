/**
 * Prepares what every npm script needs, so that each works alone on a fresh clone: the development
 * dependencies, `dist/`, the addon, and `build/tests` or `build/demo` on request.
 */
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildNative } from './build-native.mjs';
import { bundle, isBundled } from './bundle.mjs';
import { root, run, runTool, step } from './step.mjs';

/**
 * Installs and builds.
 *
 * `programs` are the folders to compile in addition to `src`: 'tests', 'demo', 'bench'. With
 * `despiteTypeErrors`, type errors are reported and count for the exit status, but the output of
 * tsc runs all the same.
 */
export async function prepare(programs = [], { despiteTypeErrors = false } = {}) {
  await install();
  const compiled = (folder, outFolder) =>
    step(`compile ${folder}`, () => compile(folder, outFolder)).catch((error) => {
      if (!despiteTypeErrors) throw error;
    });
  await Promise.all([compiled('src', 'dist'), step('compile native', async () => buildNative())]);
  placeAddons();
  // They import the built package, so they come after it.
  const present = programs.filter((folder) => sources(folder).length > 0);
  await Promise.all(present.map((folder) => compiled(folder, `build/${folder}`)));
}

/** Installs the development dependencies, unless node_modules holds exactly these. */
export async function install() {
  if (dependenciesAreInstalled()) return;
  // Without --include=dev, NODE_ENV=production would leave the compiler out. --ignore-scripts: no
  // dependency needs its scripts, and `prepare` of this package would call itself.
  await step('install', () => run('npm', ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund']));
}

async function compile(folder, outFolder) {
  removeOrphans(folder, outFolder);
  await runTool('typescript/bin/tsc', '-p', folder);
  if (folder !== 'src') return;
  chmodSync(join(root, 'dist/cli/main.js'), 0o755);
  await bundle();
}

/**
 * Copies the addons next to the code that loads them: into the bundle, and for the tests next to
 * the modules.
 */
export function placeAddons() {
  for (const file of readdirSync(join(root, 'prebuilt')).filter((name) => name.endsWith('.node'))) {
    const content = readFileSync(join(root, 'prebuilt', file));
    for (const path of ['bundle', 'kernel'].map((folder) => join(root, 'dist', folder, file))) {
      if (existsSync(path) && readFileSync(path).equals(content)) continue;
      // Written under another name first: a process that loads it now must find the old file or the
      // new one, not half of it.
      writeFileSync(`${path}.${process.pid}`, content);
      renameSync(`${path}.${process.pid}`, path);
    }
  }
}

/**
 * Removes output whose source is gone. A deleted test would otherwise still run, and a deleted
 * module be published.
 */
function removeOrphans(folder, outFolder) {
  const current = new Set(sources(folder).map((file) => file.slice(0, -'.ts'.length)));
  for (const file of filesUnder(outFolder)) {
    if (isBundled(file)) continue;
    if (/\.[jt]s(\.map)?$/.test(file) && !current.has(file.replace(/(\.d\.ts|\.js)(\.map)?$/, '')))
      rmSync(join(root, outFolder, file));
  }
}

function sources(folder) {
  return filesUnder(folder).filter((file) => file.endsWith('.ts'));
}

function filesUnder(folder) {
  if (!existsSync(join(root, folder))) return [];
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return files.map((file) => file.slice(join(root, folder).length + 1));
}

/**
 * Whether node_modules holds what package-lock.json asks for.
 *
 * npm records there what it installed. Contents are compared, because a checkout changes
 * modification times and nothing else.
 */
function dependenciesAreInstalled() {
  const wanted = readJson('package-lock.json');
  const installed = readJson('node_modules/.package-lock.json');
  if (wanted === undefined || installed === undefined) return false;
  // `npm ci` reports it if package.json and the lock file disagree.
  const asked = JSON.stringify(readJson('package.json').devDependencies);
  if (asked !== JSON.stringify(wanted.packages[''].devDependencies)) return false;
  return Object.entries(wanted.packages).every(([path, entry]) => {
    if (path === '') return true;
    const have = installed.packages[path];
    // npm leaves out optional packages for other platforms.
    if (have === undefined) return entry.optional === true;
    return have.version === entry.version && have.integrity === entry.integrity;
  });
}

function readJson(path) {
  const file = join(root, path);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}
