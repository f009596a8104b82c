/**
 * Builds the package as programs load it, `dist/bundle/`: the library, the preload and the command
 * line, files that they share, and their types. As separate modules, some sixty files would take a
 * third of a process's start to be found, read and compiled.
 *
 * The code is CommonJS, which every loader accepts: `require` in each Node version, Jest, single
 * executable applications. For `import`, a module next to it exports the same values. So a process
 * has one copy of the code and of its state, however it loads the package.
 *
 * In the bundle, `process.getBuiltinModule` loads the modules of Node. A bundler that makes an ES
 * module of the package leaves these calls alone; a call of `require` would not work there.
 *
 * The separate modules stay in `dist/`, for the tests.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './step.mjs';

const dist = join(root, 'dist');
const folder = join(dist, 'bundle');

/**
 * Bundles `dist/`, which must have been compiled. Leaves unchanged files alone: a program may be
 * loading them.
 */
export async function bundle() {
  const files = new Map([...(await code()), ...types(await reasonNames())].map(([name, text]) => [join(folder, name), text]));
  for (const [path, text] of files) {
    if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.${process.pid}`, text);
    renameSync(`${path}.${process.pid}`, path);
  }
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && !files.has(path) && /\.[cm]?[jt]s$/.test(path)) rmSync(path);
  }
  chmodSync(join(folder, 'cli.cjs'), 0o755);
}

/**
 * The entry points of the code. `index` and `register` share `core`; `library` is the rest of
 * `index`. The command line uses both through `inner`, which exports what it needs. So each piece
 * of code is in the package once, and `index` loads three files.
 */
async function code() {
  const shared = reachedFrom('index.js', 'register.js');
  // Everything that `index` reaches. A module that `inner` does not reach would end up in one more
  // file.
  const asked = new Set([`export * as index from './index.js';`]);
  const throughInner = (file, text) => {
    if (shared.has(file)) return text;
    return text.replaceAll(/^import \{([^}]*)\} from '(\.[^']+)';$/gm, (statement, names, to) => {
      const module = join(dirname(file), to);
      if (!shared.has(module)) return statement;
      const prefix = module.replaceAll(/\W/g, '_');
      const inner = names.split(',').map((name) => {
        const [theirs, ours = theirs] = name.trim().split(' as ');
        asked.add(`export { ${theirs} as ${prefix}_${theirs} } from './${module}';`);
        return `${prefix}_${theirs} as ${ours}`;
      });
      return `import { ${inner.join(', ')} } from './inner.cjs';`;
    });
  };
  const commandLine = await split({ cli: 'cli/main.js' }, throughInner);
  const { files, exports } = await split({ index: 'index.js', register: 'register.js', inner: 'inner.js' }, (file, text) =>
    file === 'inner.js' ? [...asked].join('\n') : text,
  );
  return [
    ...commandLine.files,
    ...named(files),
    ['index.mjs', `export { ${exports.get('index.cjs').join(', ')} } from './index.cjs';\n`],
    ['register.mjs', `import './register.cjs';\n`],
  ];
}

/** Renames the files for stack traces: `core` is the part that the preload shares. */
function named(files) {
  const [ofIndex, ofRegister] = ['index.cjs', 'register.cjs'].map((entry) => chunksOf(files.find(([name]) => name === entry)[1]));
  const [core] = ofIndex.filter((chunk) => ofRegister.includes(chunk));
  const [library] = ofIndex.filter((chunk) => chunk !== core);
  const inWords = (text) => text.replaceAll(core, 'core').replaceAll(library, 'library');
  return files.map(([name, text]) => [inWords(name), inWords(text)]);
}

function chunksOf(text) {
  return [...text.matchAll(/require\("\.\/(chunk-\w+)\.cjs"\)/g)].map(([, name]) => name);
}

/** V8 reads every byte at each start. esbuild keeps the docstrings of class members. */
function withoutDocstrings(text) {
  return text.replaceAll(/^[ \t]*\/\*\*[^]*?\*\/[ \t]*\n/gm, '');
}

/**
 * Splits with esbuild, which can do so for ES modules only. Each file is then made into CommonJS.
 */
async function split(entries, edit) {
  const { build, transform } = await import('esbuild');
  const load = ({ path }) => {
    const text = existsSync(path) ? withoutDocstrings(readFileSync(path, 'utf8')) : '';
    return { contents: withoutImports(edit(relative(dist, path), text)) };
  };
  const { outputFiles, metafile } = await build({
    absWorkingDir: dist,
    entryPoints: Object.entries(entries).map(([out, file]) => ({ in: `./${file}`, out })),
    outdir: folder,
    outExtension: { '.js': '.cjs' },
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    metafile: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    write: false,
    logLevel: 'silent',
    plugins: [
      {
        name: 'reuseaddr',
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^\.\/inner\.js$/ }, () => ({ path: join(dist, 'inner.js') }));
          onResolve({ filter: /^\.\/inner\.cjs$/ }, ({ path }) => ({ path, external: true }));
          onLoad({ filter: /\.js$/ }, load);
        },
      },
    ],
  });
  const files = outputFiles.map(async ({ path, text }) => {
    if (/^import\b.*['"]node:/m.test(text)) throw new Error(`${path} imports a module of Node in a way that is not replaced.`);
    const options = { format: 'cjs', platform: 'node', target: 'node20', supported: { 'dynamic-import': false } };
    const made = await transform(text, { ...options, define: ofModules });
    const entry = basename(path, '.cjs');
    const prelude = preludes.filter(([name]) => made.code.includes(name)).map(([, line]) => line);
    if (entry in entries && entry !== 'inner') prelude.unshift(refusal(entry));
    const [hashbang] = /^(#!.*\n)?/.exec(made.code);
    return [
      basename(path),
      hashbang + prelude.join('') + made.code.slice(hashbang.length).replaceAll('requireAsItIs(', 'require('),
    ];
  });
  const exports = Object.entries(metafile.outputs).map(([path, output]) => [basename(path), output.exports]);
  return { files: await Promise.all(files), exports: new Map(exports) };
}

/** Expressions that ES modules have by nature, and that CommonJS gets by these lines. */
const ofModules = { 'import.meta.url': 'ownUrl', 'import.meta.resolve': 'ownResolve' };
const toUrl = "process.getBuiltinModule('node:url').pathToFileURL";

/** Refuses a Node without `process.getBuiltinModule`, in a syntax that every Node reads. */
function refusal(entry) {
  const why = "'reuseaddr needs Node.js 20.19, or 22.3 or later, and this is ' + process.version + '.'";
  const refuse =
    entry === 'cli'
      ? `process.stderr.write(${why} + '\\n'); process.exit(1);`
      : `throw Object.assign(new Error(${why}), { code: 'ERR_REUSEADDR_RUNTIME' });`;
  return `if (typeof process.getBuiltinModule !== 'function') { ${refuse} }\n`;
}

const preludes = [
  ['ownUrl', `const ownUrl = ${toUrl}(__filename).href;\n`],
  ['ownResolve', `const ownResolve = (name) => ${toUrl}(require.resolve(name)).href;\n`],
];

function withoutImports(text) {
  const importStatement = /^import (?:(\w+)(?:, \{\})?|(\{[^}]*\})) from '(node:[\w/]+)';$/gm;
  const contents = text.replaceAll(importStatement, (_statement, whole, names, module) => {
    return `const ${whole ?? names.replaceAll(' as ', ': ')} = process.getBuiltinModule('${module}');`;
  });
  // esbuild would look for the file, and not find it.
  return contents.replaceAll(/\brequire\(/g, 'requireAsItIs(');
}

/** Returns the modules of `dist/` that these files import, directly or indirectly. */
function reachedFrom(...files) {
  const reached = new Set(files);
  // The list grows during the loop.
  for (const file of reached) {
    const text = readFileSync(join(dist, file), 'utf8');
    for (const [, to] of text.matchAll(/^(?:import|export) .*from '(\.[^']+)';$/gm)) reached.add(join(dirname(file), to));
  }
  return reached;
}

const reasonsFile = 'errors/reasons.d.ts';

/**
 * Returns the names of the reasons. The source derives the type from their table, whose own type
 * tells users nothing.
 */
async function reasonNames() {
  const { reasons } = await import(pathToFileURL(join(dist, 'errors/reasons.js')).href);
  return Object.keys(reasons);
}

function reasonType(names) {
  const summary = 'Why a call failed: finer than `code`, one meaning each. `docs/errors.md` lists them with what to do.';
  return `/** ${summary} */\nexport type Reason = ${names.map((name) => `'${name}'`).join(' | ')};\n`;
}

/**
 * Bundles the types for CommonJS, with a module for `import` that exports the same.
 *
 * A file keeps the functions that the files before it import. The others lead to the types of half
 * the package.
 */
function types(reasons) {
  // The exports of `index` are public, and shown on hover. Elsewhere only the types matter.
  const index = readFileSync(join(dist, 'index.d.ts'), 'utf8');
  const shown = new Set([...index.matchAll(relativeImport)].map(([, name]) => `${name.slice(3)}.d.ts`));
  const wanted = new Map();
  const texts = new Map();
  const add = (file, names) => {
    const before = wanted.get(file) ?? new Set();
    if (texts.has(file) && names.every((name) => before.has(name))) return;
    wanted.set(file, new Set([...before, ...names]));
    const text = file === reasonsFile ? reasonType(reasons) : readFileSync(join(dist, file), 'utf8');
    const kept = pruned(text, wanted.get(file));
    texts.set(file, shown.has(file) ? kept : kept.replaceAll(docstring, ''));
    for (const [, imported, name] of kept.matchAll(namedImport)) add(join(dirname(file), `${name}.d.ts`), namesIn(imported));
  };
  add('index.d.ts', []);
  add('register.d.ts', []);
  return [
    ...[...texts].map(([file, text]) => [
      join('types', file.replace(/\.d\.ts$/, '.d.cts')),
      text.replaceAll(relativeImport, '$1.cjs$2'),
    ]),
    ['index.d.mts', `export * from './types/index.cjs';\n`],
    ['register.d.mts', `import './types/register.cjs';\n`],
  ];
}

/** Leaves out internal members, functions that no other file imports, and imports without use. */
function pruned(text, names) {
  const members = text.replaceAll(internal, (_all, indent, isConstructor) =>
    isConstructor === undefined ? '' : `${indent}constructor(...internal: unknown[]);\n`,
  );
  const rest = members.replaceAll(declaredFunction, (all, name) => (names.has(name) ? all : ''));
  return rest.replaceAll(namedImport, (statement, imported) => {
    if (statement.startsWith('export')) return statement;
    const others = rest.replace(statement, '');
    return namesIn(imported).some((name) => new RegExp(`\\b${name}\\b`).test(others)) ? statement : '';
  });
}

/** The names in the braces of an import or export. */
function namesIn(list) {
  return list.split(',').map((name) => name.trim().replace(/^type /, ''));
}

/** A member of one line that follows the mark. */
const internal = /^( *)\/\*\* @internal \*\/\n *(constructor\()?.*;\n/gm;

const docstring = /^ *\/\*\*[^]*?\*\/\n/gm;

const declaredFunction = /(?:^\/\*\*(?:(?!\*\/)[^])*\*\/\n)?^export declare function\*? (\w+)[^]*?;\n(?=[a-z/]|(?![^]))/gm;

const namedImport = /^(?:import|export) (?:type )?\{ ([^}]+) \} from '(\.[^']+)\.js';\n/gm;

/** The name of a module, with the quotation mark before it. */
const relativeImport = /(['"]\.{1,2}\/[^'"]+)\.js(['"])/g;

/** Whether a file, by its path below `dist/`, goes into the bundle. */
export function isBundled(file) {
  return file.split(/[/\\]/, 1)[0] === 'bundle';
}
