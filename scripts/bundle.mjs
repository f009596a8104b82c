/**
 * The package as programs load it, `dist/bundle/`: the library, the preload and the command line, what they share in further files, and
 * their types. As modules of their own, some sixty files take a third of a process's start to be found, read and compiled.
 *
 * The code is CommonJS, which everything can load: `require` in each Node version, Jest, single executable applications. For `import`
 * there is a module next to it that exports the same values. So a process has one copy of the code and of its state, however it asks.
 *
 * In the bundle, modules of Node are asked for by `process.getBuiltinModule`. A bundler that makes an ES module of the package leaves these
 * calls as they are; a call of `require` would not work there.
 *
 * The modules that the bundle is made of stay in `dist/`, for the tests.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './step.mjs';

const dist = join(root, 'dist');
const folder = join(dist, 'bundle');

/** Bundles `dist/`, which must have been compiled. What has not changed is left as it is: a program may be loading it. */
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
 * The code, by the files that it goes to: `index` and `register` share `core`, and `library` is what `index` has besides. The command line
 * uses both through `inner`, which exports what it asks for. So each piece of code is in the package once, and `index` loads three files.
 */
async function code() {
  const shared = reachedFrom('index.js', 'register.js');
  // All that `index` reaches: what `inner` does not reach would be in one more file.
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

/** The files with those names that stack traces should show: `core` is what the preload uses, too. */
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

/** esbuild splits ES modules only, so it does that first, and makes CommonJS of each file then. */
async function split(entries, edit) {
  const { build, transform } = await import('esbuild');
  const load = ({ path }) => {
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
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

/** What a module has by nature, and CommonJS by these lines. */
const ofModules = { 'import.meta.url': 'ownUrl', 'import.meta.resolve': 'ownResolve' };
const toUrl = "process.getBuiltinModule('node:url').pathToFileURL";

/** What an entry point does on a Node that lacks `process.getBuiltinModule`, in words that every Node reads. */
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

/** The modules of `dist/` that these import, and that those import. */
function reachedFrom(...files) {
  const reached = new Set(files);
  // The list grows while it is walked.
  for (const file of reached) {
    const text = readFileSync(join(dist, file), 'utf8');
    for (const [, to] of text.matchAll(/^(?:import|export) .*from '(\.[^']+)';$/gm)) reached.add(join(dirname(file), to));
  }
  return reached;
}

const reasonsFile = 'errors/reasons.d.ts';

/** The reasons by name. In the source the type is made from their table, whose own type says nothing to users. */
async function reasonNames() {
  const { reasons } = await import(pathToFileURL(join(dist, 'errors/reasons.js')).href);
  return Object.keys(reasons);
}

function reasonType(names) {
  const summary = 'Why a call failed: finer than `code`, one meaning each. `docs/errors.md` lists them with what to do.';
  return `/** ${summary} */\nexport type Reason = ${names.map((name) => `'${name}'`).join(' | ')};\n`;
}

/** The types that the public ones are made of, for CommonJS, and for `import` a module that exports them. */
function types(reasons) {
  const found = new Map();
  // What these export is public, and read on hover. Of the rest only the types count.
  const index = readFileSync(join(dist, 'index.d.ts'), 'utf8');
  const shown = new Set([...index.matchAll(relativeImport)].map(([, name]) => `${name.slice(3)}.d.ts`));
  const add = (file) => {
    const path = join('types', file.replace(/\.d\.ts$/, '.d.cts'));
    if (found.has(path)) return;
    const text = file === reasonsFile ? reasonType(reasons) : readFileSync(join(dist, file), 'utf8');
    const kept = shown.has(file) ? text : text.replaceAll(docstring, '');
    found.set(path, kept.replaceAll(relativeImport, '$1.cjs$2'));
    for (const [, name] of text.matchAll(relativeImport)) add(join(dirname(file), `${name.slice(1)}.d.ts`));
  };
  add('index.d.ts');
  add('register.d.ts');
  return [
    ...found,
    ['index.d.mts', `export * from './types/index.cjs';\n`],
    ['register.d.mts', `import './types/register.cjs';\n`],
  ];
}

const docstring = /^ *\/\*\*[^]*?\*\/\n/gm;

/** The name of a module, with the quotation mark before it. */
const relativeImport = /(['"]\.{1,2}\/[^'"]+)\.js(['"])/g;

/** Whether a file of `dist/`, by its path there, is of the bundle. */
export function isBundled(file) {
  return file.split(/[/\\]/, 1)[0] === 'bundle';
}
