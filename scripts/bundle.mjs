/**
 * The library and the preload in one file each, with what they share in a third: `dist/bundle/`. That is what programs import. As modules
 * of their own, some sixty files take a third of a process's start to be found, read and compiled.
 *
 * The modules stay beside it: the command line and the tests use them.
 *
 * In the bundle, modules of Node are asked for by `process.getBuiltinModule`. To import one, Node looks up every name that it exports,
 * and so loads what is behind them, `util.parseArgs` and `util.MIMEType` for instance: 1 ms for each process that starts.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { root } from './step.mjs';

const folder = join(root, 'dist/bundle');

/** Bundles `dist/`, which must have been compiled. What has not changed is left as it is: a program may be loading it. */
export async function bundle() {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    entryPoints: ['index', 'register'].map((name) => join(root, `dist/${name}.js`)),
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    write: false,
    logLevel: 'silent',
    plugins: [{ name: 'modules of Node', setup: ({ onLoad }) => onLoad({ filter: /\.js$/ }, withoutImports) }],
  });
  for (const { path, text } of outputFiles)
    if (/^import\b.*['"]node:/m.test(text)) throw new Error(`${path} imports a module of Node in a way that is not replaced.`);
  mkdirSync(folder, { recursive: true });
  for (const { path, text } of outputFiles) {
    if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
    writeFileSync(`${path}.${process.pid}`, text);
    renameSync(`${path}.${process.pid}`, path);
  }
  const current = new Set(outputFiles.map(({ path }) => basename(path)));
  for (const file of readdirSync(folder)) if (!current.has(file) && file.endsWith('.js')) rmSync(join(folder, file));
}

function withoutImports({ path }) {
  const importStatement = /^import (?:(\w+)(?:, \{\})?|(\{[^}]*\})) from '(node:[\w/]+)';$/gm;
  const contents = readFileSync(path, 'utf8').replaceAll(importStatement, (_statement, whole, names, module) => {
    return `const ${whole ?? names.replaceAll(' as ', ': ')} = process.getBuiltinModule('${module}');`;
  });
  return { contents };
}

/** Whether a file of `dist/`, by its path there, is of the bundle. */
export function isBundled(file) {
  return dirname(file) === 'bundle';
}
