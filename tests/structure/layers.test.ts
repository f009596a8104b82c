import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/**
 * The folders of src, from the caller down to the kernel. Each imports from itself and from the
 * rows below; those of one row may use each other too, but not in a circle.
 */
const rows: readonly (readonly string[])[] = [
  ['cli', 'register'],
  ['preload', 'run'],
  ['index'],
  ['server', 'client', 'inspect', 'handover'],
  ['request'],
  ['peers'],
  ['errors'],
  ['holder'],
  ['claim'],
  ['kernel'],
  ['address'],
];

/**
 * The claim layer is also run by the simulation and in a browser page: nothing that it reaches may
 * need Node.
 */
const withoutNode = ['claim', 'address'];

const addon = 'kernel/addon.ts';
const addonLoader = 'kernel/loadAddon.ts';

/** The source files by their path below src. */
type Sources = ReadonlyMap<string, string>;

interface Import {
  readonly from: string;
  readonly to: string;
}

const sources: Sources = readSources(fileURLToPath(new URL('../../../src/', import.meta.url)));

test('every folder of src has its place in the table → there is no other', () => {
  assert.ok(sources.size > 0, 'no source was found');
  const unknown = [...sources.keys()].map(layerOf).filter((layer) => rowOf(layer) < 0);
  assert.deepEqual([...new Set(unknown)], []);
});

test('src/README.md says where an address travels → it names every folder, in the order of the table', () => {
  const page = readFileSync(new URL('../../../src/README.md', import.meta.url), 'utf8');
  assert.ok(page.includes(rows.map((row) => row.join(', ')).join(' → ')), 'the line of imports is another one');
  const unnamed = rows.flat().filter((layer) => !page.includes(`\`${layer}/`) && !page.includes(`\`${layer}.ts`));
  assert.deepEqual(unnamed, []);
});

test('a file of src imports only from the layers below its own', () => {
  assert.deepEqual(upwardImports(sources), []);
});

test('the folders of src do not import each other in a circle', () => {
  assert.deepEqual(circle(sources, layerOf), []);
});

test('the files of src do not import each other in a circle, by types and dynamic imports neither', () => {
  assert.deepEqual(
    circle(sources, (file) => file),
    [],
  );
});

test('the claim layer and the address layer reach no module of Node, and no package', () => {
  assert.deepEqual(nodeReachedFrom(sources, withoutNode), []);
});

test('only src/kernel imports the addon, and only its own file loads it', () => {
  assert.deepEqual(addonUses(sources), []);
});

test('a rule is broken → the test that keeps it says where', () => {
  assert.deepEqual(upwardImports(source('claim/acquire.ts', `import { listen } from '../server/listen.js';`)), [
    'claim/acquire.ts imports server/listen.ts',
  ]);
  assert.deepEqual(upwardImports(source('kernel/posix.ts', `import type { Step } from '../claim/step.js';`)), [
    'kernel/posix.ts imports claim/step.ts',
  ]);
  assert.deepEqual(upwardImports(source('claim/acquire.ts', `export * from '../errors/error.js';`)), [
    'claim/acquire.ts imports errors/error.ts',
  ]);
  assert.deepEqual(upwardImports(source('server/listen.ts', `await import('../register.js');`)), [
    'server/listen.ts imports register.ts',
  ]);
  const throughKernel: Sources = new Map([
    ['claim/acquire.ts', `import {\n  run,\n} from '../kernel/posix.js';`],
    ['kernel/posix.ts', `import fs from 'node:fs';`],
  ]);
  assert.deepEqual(nodeReachedFrom(throughKernel, withoutNode), ['claim/acquire.ts → kernel/posix.ts → node:fs']);
  assert.deepEqual(addonUses(source('server/listen.ts', `import { flock } from '../kernel/addon.js';`)), [
    'server/listen.ts imports kernel/addon.ts',
  ]);
  assert.deepEqual(addonUses(source('kernel/posix.ts', `process.dlopen(module, path);`)), ['kernel/posix.ts loads an addon']);
  const around: Sources = new Map([
    ['server/listen.ts', `import '../inspect/state.js';`],
    ['inspect/state.ts', `import '../server/other.js';`],
  ]);
  assert.deepEqual(circle(around, layerOf), ['server → inspect → server']);
  const files: Sources = new Map([
    ['cli/commands.ts', `const load = () => import('./help.js');`],
    ['cli/help.ts', `import type { Shown } from './shown.js';`],
    ['cli/shown.ts', `export type { Commands } from './commands.js';`],
  ]);
  assert.deepEqual(
    circle(files, (file) => file),
    ['cli/commands.ts → cli/help.ts → cli/shown.ts → cli/commands.ts'],
  );
  const comment = `/**\n * import { a } from '../server/listen.js';\n */\n  // import '../server/listen.js'`;
  assert.deepEqual(upwardImports(source('claim/acquire.ts', comment)), [], 'a comment is no import');
});

function upwardImports(files: Sources): string[] {
  const wrong = importsOf(files).filter(({ from, to }) => isOurs(to) && rowOf(layerOf(to)) < rowOf(layerOf(from)));
  return wrong.map(({ from, to }) => `${from} imports ${to}`);
}

/**
 * Every way from a file of these layers to a module that is not ours: the shortest for each pair.
 */
function nodeReachedFrom(files: Sources, layers: readonly string[]): string[] {
  const imports = importsOf(files);
  return [...files.keys()]
    .filter((file) => layers.includes(layerOf(file)))
    .flatMap((start) => {
      const ways = [[start]];
      const seen = new Set([start]);
      // The list grows while it is walked; `seen` bounds it by the number of modules.
      for (const way of ways) {
        for (const { to } of imports.filter(({ from }) => from === way.at(-1))) {
          if (!seen.has(to)) ways.push([...way, to]);
          seen.add(to);
        }
      }
      return ways.filter((way) => !isOurs(way.at(-1)!)).map((way) => way.join(' → '));
    });
}

function addonUses(files: Sources): string[] {
  const imports = importsOf(files).filter(({ from, to }) => to === addon && layerOf(from) !== 'kernel');
  const loads = [...files].filter(([file, text]) => file !== addonLoader && /\bdlopen\(|\.node['"`]/.test(withoutComments(text)));
  return [...imports.map(({ from }) => `${from} imports ${addon}`), ...loads.map(([file]) => `${file} loads an addon`)];
}

/** One circle of folders or files, or nothing. */
function circle(files: Sources, nodeOf: (file: string) => string): string[] {
  const edges = importsOf(files)
    .filter(({ to }) => isOurs(to))
    .map(({ from, to }) => [nodeOf(from), nodeOf(to)] as const)
    .filter(([from, to]) => from !== to);
  // Nodes that import no node which is left can be in no circle; what remains in the end is one, or
  // leads to one.
  let left = new Set(edges.map(([from]) => from));
  const importedBy = (node: string) => edges.filter(([from, to]) => from === node && left.has(to)).map(([, to]) => to);
  for (let before = -1; before !== left.size;) {
    before = left.size;
    left = new Set([...left].filter((node) => importedBy(node).length > 0));
  }
  const way = [...left].slice(0, 1);
  if (way.length === 0) return [];
  while (new Set(way).size === way.length) way.push(importedBy(way.at(-1)!)[0]!);
  return [way.slice(way.indexOf(way.at(-1)!)).join(' → ')];
}

function importsOf(files: Sources): Import[] {
  const statement =
    /\b(?:import|export)\b[^'";]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]|\brequire\(['"]([^'"]+)['"]/g;
  return [...files].flatMap(([from, text]) =>
    [...withoutComments(text).matchAll(statement)].map((match) => {
      const name = match[1] ?? match[2] ?? match[3]!;
      const relative = name.startsWith('.');
      return { from, to: relative ? posix.join(posix.dirname(from), name).replace(/\.js$/, '.ts') : name };
    }),
  );
}

/** Whether it is a file of src; everything else is a module of Node or a package. */
function isOurs(module: string): boolean {
  return module.endsWith('.ts');
}

/** Counted from the top; -1 for a folder that has no place in the table. */
function rowOf(layer: string): number {
  return rows.findIndex((row) => row.includes(layer));
}

function layerOf(file: string): string {
  return file.split('/')[0]!.replace(/\.ts$/, '');
}

/**
 * Docstrings hold examples with imports. Only comments that begin a line are removed: a path like
 * `/proc/*` opens none.
 */
function withoutComments(text: string): string {
  return text.replaceAll(/^\s*\/\*[\s\S]*?\*\//gm, '').replaceAll(/^\s*\/\/.*$/gm, '');
}

function readSources(folder: string): Sources {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  return new Map(files.map((file) => [file.replaceAll('\\', '/'), readFileSync(posix.join(folder, file), 'utf8')]));
}

function source(file: string, text: string): Sources {
  return new Map([[file, text]]);
}
