/**
 * What every npm script needs first, so that each works alone on a fresh clone: the development dependencies, `dist/`, the addon,
 * and `build/tests` or `build/demo` when asked.
 */
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildNative } from './build-native.mjs';
import { bundle, isBundled } from './bundle.mjs';
import { root, run, runTool, step } from './step.mjs';

/**
 * Installs and builds. `programs` are the folders compiled besides `src`: 'tests', 'demo', 'bench'. With `despiteTypeErrors`, they are
 * reported and count for the exit status, but what tsc made of the code is run all the same.
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

/** Installs the development dependencies, unless node_modules has just those. */
export async function install() {
  if (dependenciesAreInstalled()) return;
  // Without --include=dev, NODE_ENV=production would leave the compiler out. None needs its scripts, and `prepare` of our own is this.
  await step('install', () => run('npm', ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund']));
}

async function compile(folder, outFolder) {
  removeOrphans(folder, outFolder);
  await runTool('typescript/bin/tsc', '-p', folder);
  if (folder !== 'src') return;
  chmodSync(join(root, 'dist/cli/main.js'), 0o755);
  await bundle();
}

/** The addons are next to the code that loads them: in the bundle, and for the tests in the modules that it is made of. */
export function placeAddons() {
  for (const file of readdirSync(join(root, 'prebuilt')).filter((name) => name.endsWith('.node'))) {
    const content = readFileSync(join(root, 'prebuilt', file));
    for (const path of ['bundle', 'kernel'].map((folder) => join(root, 'dist', folder, file))) {
      if (existsSync(path) && readFileSync(path).equals(content)) continue;
      // Under another name first: a process that loads it now must find the old one or the new one, not half of it.
      writeFileSync(`${path}.${process.pid}`, content);
      renameSync(`${path}.${process.pid}`, path);
    }
  }
}

/** Removes output whose source is gone: a test that was deleted would go on running, a module go on being published. */
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
 * Whether node_modules holds what package-lock.json asks for. npm records there what it installed; contents are compared, since
 * a checkout changes modification times without changing anything else.
 */
function dependenciesAreInstalled() {
  const wanted = readJson('package-lock.json');
  const installed = readJson('node_modules/.package-lock.json');
  if (wanted === undefined || installed === undefined) return false;
  // `npm ci` says what is wrong when package.json and the lock file disagree.
  const asked = JSON.stringify(readJson('package.json').devDependencies);
  if (asked !== JSON.stringify(wanted.packages[''].devDependencies)) return false;
  return Object.entries(wanted.packages).every(([path, entry]) => {
    if (path === '') return true;
    const have = installed.packages[path];
    // npm leaves out what is optional and meant for other platforms.
    if (have === undefined) return entry.optional === true;
    return have.version === entry.version && have.integrity === entry.integrity;
  });
}

function readJson(path) {
  const file = join(root, path);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}
