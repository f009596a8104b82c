/**
 * Builds the package as programs load it, `dist/bundle/`: the library, the preload and the command
 * line, files that they share, and their types. As separate modules, some hundred files would take
 * a third of a process's start to be found, read and compiled.
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
 * The files of the code, each with the modules that it has. A module that is not named here is in
 * `core` if the preload needs it too, and in `library` otherwise.
 *
 * `kernel` and `core` are what a start on a free path takes; an inspection takes only `kernel` of
 * these. `preload`, `report` and the rest are loaded when another file first calls one of their
 * functions: the preload at the first path, `report` for an inspection, `explanation` for an error,
 * `ways` for the other ways to an address (a wait, a takeover, a rule about peers, a client), and
 * `others` on Bun and Deno. In the sources these are plain imports. V8 reads every byte that a
 * process loads, whether it runs or not.
 */
const parts = {
  index: ['index'],
  register: ['register', ...inFolder('preload', 'longConnections', 'files', 'install', 'node', 'preloadOptions')],
  preload: [
    ...inFolder(
      'preload',
      'preloadedServer',
      'readPath',
      'acquireNow',
      'cluster',
      'removeDirectory',
      'nodeError',
      'kept',
      'listenOnPath',
      'longPath',
    ),
    'inspect/guardedPlace',
    'claim/unlink',
  ],
  kernel: [
    ...inFolder('address', 'address', 'names', 'socketType'),
    ...inFolder(
      'kernel',
      'addon',
      'addonFailure',
      'clock',
      'descriptor',
      'descriptors',
      'errno',
      'kernel',
      'loadAddon',
      'posix',
      'runtime',
      'wait',
    ),
    ...inFolder('claim', 'place', 'probe', 'record', 'refusal'),
    ...inFolder('errors', 'advice', 'caller', 'socketAddressError'),
    ...inFolder('request', 'readAddress', 'mistake', 'requireOptions', 'readSocketType'),
    ...inFolder('holder', 'ancestors', 'self'),
  ],
  others: ['preload/installOnOthers'],
  library: ['server/privateName', 'claim/publish'],
  report: [
    ...inFolder('errors', 'describe', 'show'),
    ...inFolder('holder', 'fellowWorker', 'find', 'holder', 'users'),
    ...inFolder('inspect', 'inspect', 'locks', 'snapshot'),
    'kernel/sockets',
  ],
  explanation: inFolder('errors', 'errnos', 'explain', 'kind', 'messageOf', 'reasons'),
  ways: [
    ...inFolder('client', 'connectOnce', 'connect', 'destination', 'pause', 'pipe'),
    ...inFolder('handover', 'message', 'offer', 'askHolder', 'handoverService', 'socket'),
    ...inFolder('kernel', 'notify', 'watchDirectory', 'watchLockFile'),
    ...inFolder('peers', 'credentials', 'guard'),
    ...inFolder('server', 'abandoned', 'drain', 'drainHttp', 'rebind', 'takeover', 'displacement', 'waitFor'),
    'request/rule',
  ],
};

const loadedAtNeed = new Set(['preload', 'others', 'report', 'explanation', 'ways']);

/** They are short, have no state, and are in each part that needs them. */
const inEachPart = new Set(['kernel/runtimeName.js', 'address/lockName.js']);

function inFolder(name, ...modules) {
  return modules.map((module) => `${name}/${module}`);
}

const namedParts = new Map(Object.entries(parts).flatMap(([part, modules]) => modules.map((module) => [`${module}.js`, part])));

/**
 * Makes the parts, and the command line, which uses their modules. So each piece of code is in the
 * package once.
 */
async function code() {
  const ofPreload = reachedFrom('register.js');
  const shared = reachedFrom('index.js', 'register.js');
  const ofRun = reachedFrom(...inRun());
  const ofCommands = severalCommands();
  const partOf = (module) => {
    if (shared.has(module)) return namedParts.get(module) ?? (ofPreload.has(module) ? 'core' : 'library');
    if (ofRun.has(module)) return 'run';
    return ofCommands.has(module) ? 'commands' : 'commandLine';
  };
  const unused = [...namedParts.keys()].filter((module) => !shared.has(module) || !existsSync(join(dist, module)));
  if (unused.length > 0)
    throw new Error(`No module ${unused.join(', ')} is in the package: see the parts in scripts/bundle.mjs.`);

  const asked = new Map(
    ['kernel', 'core', 'library', 'preload', 'others', 'report', 'explanation', 'ways', 'run', 'commands'].map((part) => [
      part,
      new Map(),
    ]),
  );
  const edit = (file, text) => withParts(file, text, partOf, asked);
  for (const module of everythingFrom(...shared, 'cli/main.js')) edit(module, readFileSync(join(dist, module), 'utf8'));
  const entries = [{ index: 'index.js' }, { register: 'register.js' }, { cli: 'cli/main.js' }];
  for (const [part, statements] of asked) {
    virtual.set(`${part}.js`, [...statements.values()].join('\n'));
    virtual.set(`at-need:${part}`, loading(part, statements.keys()));
    entries.push({ [part]: `${part}.js` });
  }
  const made = await Promise.all(entries.map((entry) => split(entry, edit)));
  return [
    ...made.flatMap(({ files }) => files),
    ['index.mjs', `export { ${made[0].exports.get('index.cjs').join(', ')} } from './index.cjs';\n`],
    // Node looks for exports in a CommonJS module that is imported. In a long one, Node 20 spends
    // half of the time of its whole start on it, because V8 then optimizes the code that looks.
    ['imported.cjs', `require('./register.cjs');\n`],
    ['register.mjs', `import './imported.cjs';\n`],
  ];
}

/** The modules whose only content is the exports of a part. */
const virtual = new Map();

const importOrExport = /^(import|export) \{([^}]*)\} from '(\.[^']+)';$/gm;

/**
 * Changes the imports that lead to another part. Notes what that part has to export.
 */
function withParts(file, text, partOf, asked) {
  const own = partOf(file);
  return text.replaceAll(importOrExport, (statement, verb, names, to) => {
    const module = join(dirname(file), to);
    const part = partOf(module);
    if (part === own || part === 'commandLine' || inEachPart.has(module)) return statement;
    const found = names.split(',').map((name) => {
      const [theirs, ours = theirs] = name.trim().split(' as ');
      const outside = ask(asked.get(part), theirs, module);
      return { theirs, ours, outside, atNeed: isAtNeed(theirs, module, part, own) };
    });
    return found
      .map((each) => {
        const from = each.atNeed ? `at-need:${part}` : atOnce(part, each.outside, own === 'commandLine' ? file : own);
        if (each.atNeed && verb === 'export') return publicFunction(each, module, from, asked);
        return `${verb} { ${each.outside} as ${each.ours} } from '${from}';`;
      })
      .join('\n');
  });
}

/** The names that a part, or a command, takes of another part when it is loaded. */
const takenAtOnce = new Map();

/**
 * Returns a module with these names: constants, so that a call is as short and quick as within a
 * part.
 */
function atOnce(part, name, user) {
  const module = `at-once:${part}:${user}`;
  const names = takenAtOnce.get(module) ?? new Set();
  takenAtOnce.set(module, names.add(name));
  const list = [...names].join(', ');
  virtual.set(module, `const { ${list} } = require('./${part}.cjs');\nexport { ${list} };`);
  return module;
}

/**
 * Whether another part loads the one of this name at need. The command line does so wherever it
 * can.
 */
function isAtNeed(name, module, part, own) {
  const byCommands = own === 'commandLine' || own === 'commands';
  if (part === 'commands' || (!loadedAtNeed.has(part) && !byCommands)) return false;
  const source = readFileSync(join(dist, module), 'utf8');
  if (new RegExp(`^export (async )?function\\*? ${name}\\b`, 'm').test(source)) return true;
  if (!['kernel', 'core', 'index', 'library', 'preload', 'register'].includes(own)) return false;
  throw new Error(`${own} imports ${name} of ${module}, which is loaded at need, and is not a function.`);
}

/**
 * The stack of an error begins at the caller of a public function, as if that were not loaded at
 * need.
 */
function publicFunction({ theirs, ours, outside }, module, from, asked) {
  const source = readFileSync(join(dist, module), 'utf8');
  const [asynchronous, wait] = source.includes(`\nexport async function ${theirs}(`) ? ['async ', 'await '] : ['', ''];
  const begin = ask(asked.get('kernel'), 'beginAtCaller', 'errors/caller.js');
  return [
    `import { ${outside} as ${ours}_ } from '${from}';`,
    `import { ${begin} as begin_${ours} } from '${atOnce('kernel', begin, 'index')}';`,
    `export ${asynchronous}function ${ours}(...args) {`,
    `  try { return ${wait}${ours}_(...args); } catch (error) { throw begin_${ours}(error, ${ours}); }`,
    `}`,
  ].join('\n');
}

/**
 * Returns the name by which a part exports this name of a module: its own, unless another module
 * has that too.
 */
function ask(names, theirs, module) {
  const statement = (outside) => `export { ${theirs} as ${outside} } from './${module}';`;
  let outside = theirs;
  while (names.has(outside) && names.get(outside) !== statement(outside)) outside += '_';
  names.set(outside, statement(outside));
  return outside;
}

/**
 * Returns a module with the functions of a part. The first call of any of them loads the part.
 */
function loading(part, names) {
  const functions = [...names].map((name) => `export function ${name}(...args) { return part().${name}(...args); }`);
  return [`let loaded;\nconst part = () => (loaded ??= require('./${part}.cjs'));`, ...functions].join('\n');
}

/** V8 reads every byte at each start. esbuild keeps the docstrings of class members. */
function withoutDocstrings(text) {
  return text.replaceAll(/^[ \t]*\/\*\*[^]*?\*\/[ \t]*\n/gm, '');
}

/**
 * Bundles with esbuild, which can split ES modules only. Each file is then made into CommonJS.
 */
async function split(entries, edit) {
  const { build, transform } = await import('esbuild');
  const load = ({ path }) => {
    const file = relative(dist, path);
    const text = virtual.get(file) ?? withoutDocstrings(readFileSync(path, 'utf8'));
    return { contents: withoutImports(virtual.has(file) ? text : edit(file, text)) };
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
          onResolve({ filter: /^\.\/\w+\.cjs$/ }, ({ path }) => ({ path, external: true }));
          // One for each importer in the command line: shared ones would be in files of their own.
          onResolve({ filter: /^at-(need|once):/ }, ({ path, importer }) => ({
            path: `${path} ${'cli' in entries && path.startsWith('at-need') ? importer : ''}`,
            namespace: 'part',
          }));
          onLoad({ filter: /./, namespace: 'part' }, ({ path }) => ({
            contents: withoutImports(virtual.get(path.split(' ', 1)[0])),
          }));
          onResolve(
            { filter: /^\.\/(kernel|core|library|preload|others|report|explanation|ways|run|commands)\.js$/ },
            ({ path, kind }) => (kind === 'entry-point' ? { path: join(dist, path) } : undefined),
          );
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
    if (['index', 'register', 'cli'].includes(entry)) prelude.unshift(refusal(entry));
    const [hashbang] = /^(#!.*\n)?/.exec(made.code);
    const body = withoutConversion(made.code.slice(hashbang.length)).replaceAll('requireAsItIs(', 'require(');
    const shown = entry === 'index' || entry === 'register' ? body : withPlainExports(body);
    return [basename(path), hashbang + prelude.join('') + shown];
  });
  const exports = Object.entries(metafile.outputs).map(([path, output]) => [basename(path), output.exports]);
  return { files: await Promise.all(files), exports: new Map(exports) };
}

/**
 * The command line loads its own files by `import()`. They need not be converted into what the
 * `import()` of any CommonJS file would give, and the function that does it is long.
 */
function withoutConversion(text) {
  return text.replaceAll(/__toESM\((require\("\.\/[^"]+"\))\)/g, '$1').replace(/^var __toESM = [^]*?^\)\);\n/m, '');
}

/** Only the files that modules import need what esbuild adds for them, a kilobyte in each file. */
function withPlainExports(body) {
  const exported = /__export\(stdin_exports, \{\n([^]*?)\n\}\);\nmodule\.exports = __toCommonJS\(stdin_exports\);\n/.exec(body);
  if (exported === null) return body;
  const getters = exported[1].replaceAll(/^  (\w+): \(\) => (.*?),?$/gm, '  get $1() { return $2; },');
  const rest = body
    .replace(exported[0], () => `module.exports = {\n${getters}\n};\n`)
    .replace('var stdin_exports = {};\n', '')
    .replace(/^\/\/ Annotate the CommonJS [^]*/m, '');
  return rest.includes('__toESM(') ? rest : rest.replaceAll(/^var __\w+ = (?:.*;|[^]*?\n\};)\n/gm, '');
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
  // Most programs have it already, and the others need not load it.
  const importNet = /^import net(?:, \{\})? from 'node:net';$/m;
  const uses = importNet.test(text)
    ? text.replace(importNet, '').replaceAll(/\bnet\./g, `(process.getBuiltinModule('node:net')).`)
    : text;
  const used = /(?<!:)\bnet\b(?!')/.test(uses) ? text : uses;
  const contents = used.replaceAll(importStatement, (_statement, whole, names, module) => {
    return `const ${whole ?? names.replaceAll(' as ', ': ')} = process.getBuiltinModule('${module}');`;
  });
  // esbuild would look for the file, and not find it.
  return contents.replaceAll(/\brequire\(/g, 'requireAsItIs(');
}

/** Returns the modules of `dist/` that these files import, directly or indirectly. */
function reachedFrom(...files) {
  return reach(files, /^(?:import|export) .*from '(\.[^']+)';$/gm);
}

/** Does the same, with the modules that are imported in the middle of the code. */
function everythingFrom(...files) {
  return reach(files, /(?:^(?:import|export) .*from |\bimport\()'(\.[^']+)'/gm);
}

function reach(files, imports) {
  const reached = new Set(files);
  // The list grows during the loop.
  for (const file of reached) {
    const text = readFileSync(join(dist, file), 'utf8');
    for (const [, to] of text.matchAll(imports)) reached.add(join(dirname(file), to));
  }
  return reached;
}

function inRun() {
  return readdirSync(join(dist, 'run'))
    .filter((file) => file.endsWith('.js'))
    .map((file) => `run/${file}`);
}

/**
 * Returns the modules that the start of the command line needs, and those of three commands or
 * more.
 */
function severalCommands() {
  const atStart = reachedFrom('cli/main.js');
  const counts = new Map();
  for (const file of everythingFrom('cli/main.js')) {
    for (const [, to] of readFileSync(join(dist, file), 'utf8').matchAll(/\bimport\('(\.[^']+)'\)/g))
      for (const module of reachedFrom(join(dirname(file), to))) counts.set(module, (counts.get(module) ?? 0) + 1);
  }
  const several = [...counts].filter(([, count]) => count >= 3).map(([module]) => module);
  // Those that load others stay with these.
  return new Set(
    [...atStart, ...several].filter((file) => !/\bimport\('\.[^']+'\)/.test(readFileSync(join(dist, file), 'utf8'))),
  );
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
 * A file keeps the functions and interfaces that the files before it import. The others lead to the
 * types of half the package.
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

/** Leaves out internal members, what no other file needs, and imports without use. */
function pruned(text, names) {
  const members = text.replaceAll(internal, (_all, indent, isConstructor) =>
    isConstructor === undefined ? '' : `${indent}constructor(...internal: unknown[]);\n`,
  );
  const functions = members.replaceAll(declaredFunction, (all, name) => (names.has(name) ? all : ''));
  const rest = functions.replaceAll(declaredInterface, (all, name) =>
    names.has(name) || isNamed(name, functions.replace(all, '')) ? all : '',
  );
  return rest.replaceAll(namedImport, (statement, imported) => {
    if (statement.startsWith('export')) return statement;
    const others = rest.replace(statement, '');
    return namesIn(imported).some((name) => isNamed(name, others)) ? statement : '';
  });
}

function isNamed(name, text) {
  return new RegExp(`\\b${name}\\b`).test(text);
}

/** The names in the braces of an import or export. */
function namesIn(list) {
  return list.split(',').map((name) => name.trim().replace(/^type /, ''));
}

/** A member of one line that follows the mark. */
const internal = /^( *)\/\*\* @internal \*\/\n *(constructor\()?.*;\n/gm;

const docstring = /^ *\/\*\*[^]*?\*\/\n/gm;

const declaredFunction = /(?:^\/\*\*(?:(?!\*\/)[^])*\*\/\n)?^export declare function\*? (\w+)[^]*?;\n(?=[a-z/]|(?![^]))/gm;

const declaredInterface = /(?:^\/\*\*(?:(?!\*\/)[^])*\*\/\n)?^(?:export )?interface (\w+)[^]*?^\}\n/gm;

const namedImport = /^(?:import|export) (?:type )?\{ ([^}]+) \} from '(\.[^']+)\.js';\n/gm;

/** The name of a module, with the quotation mark before it. */
const relativeImport = /(['"]\.{1,2}\/[^'"]+)\.js(['"])/g;

/** Whether a file, by its path below `dist/`, goes into the bundle. */
export function isBundled(file) {
  return file.split(/[/\\]/, 1)[0] === 'bundle';
}
