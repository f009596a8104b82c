/** The package as it is published: what is in it, and what is not. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix, relative } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/[/\\]$/, '');

/** Everything that may be published: nothing else is, and each of them is there. */
const published = [
  /^dist\/bundle\/[\w-]+\.(cjs|mjs|d\.mts)$/,
  /^dist\/bundle\/types\/[\w/-]+\.d\.cts$/,
  /^dist\/bundle\/reuseaddr\.\w+-\w+\.node$/,
  /^docs\/[\w/-]+\.md$/,
  /^man\/reuseaddr\.1$/,
  /^README\.md$/,
  /^CHANGELOG\.md$/,
  /^SECURITY\.md$/,
  /^LICENSE$/,
  /^package\.json$/,
];

/** With the addons for all four platforms. */
const installedBytesMax = 700_000;

type Manifest = Readonly<Record<string, unknown>>;

let folder = '';
let files: readonly string[] = [];
let manifest: Manifest = {};
before(async () => {
  folder = mkdtempSync(join(realpathSync(tmpdir()), 'ra-'));
  const { stage } = (await import(new URL('../../../scripts/stage.mjs', import.meta.url).href)) as {
    stage: (folder: string) => void;
  };
  stage(folder);
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  files = entries.map(({ parentPath, name }) => relative(folder, join(parentPath, name)).replaceAll('\\', '/'));
  manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('the package → it holds the bundle with its types, the addons, and the pages, and nothing else', () => {
  assert.deepEqual(
    files.filter((file) => !published.some((pattern) => pattern.test(file))),
    [],
    'these are not meant to be published',
  );
  for (const pattern of published) {
    assert.ok(
      files.some((file) => pattern.test(file)),
      `nothing that matches ${pattern} would be published`,
    );
  }
});

test('a page of the package → each link leads to a file of the package, and no link became text that does not name its file', () => {
  const linkOf = /\[[^\][]*(?:\[[^\]]*\][^\][]*)*\]\((?!\w+:|#)([^)#\s]+)[^)]*\)/g;
  const targetsIn = (page: string, text: string): string[] =>
    [...text.replaceAll(/^```[^]*?^```$/gm, '').matchAll(linkOf)].map(([, path = '']) => posix.join(posix.dirname(page), path));
  let named = 0;
  for (const page of files.filter((file) => file.endsWith('.md'))) {
    const packed = readFileSync(join(folder, page), 'utf8');
    const kept = targetsIn(page, packed).map((target) => target.replace(/\/$/, ''));
    assert.deepEqual(
      kept.filter((target) => !files.includes(target)),
      [],
      page,
    );
    const targets = targetsIn(page, readFileSync(join(root, page), 'utf8'));
    for (const target of targets.filter((file) => !files.includes(file) && !/\.(?:png|svg)$/.test(file))) {
      named++;
      assert.ok(packed.includes(`${posix.basename(target)} of the repository`), `${page} does not name ${target}`);
    }
  }
  assert.ok(named > 10);
});

test('each path in package.json → a file of the package', () => {
  const paths = (value: unknown): string[] =>
    typeof value === 'string' ? [value] : typeof value === 'object' && value !== null ? Object.values(value).flatMap(paths) : [];
  const named = ['main', 'types', 'exports', 'typesVersions', 'bin', 'man'].flatMap((field) => paths(manifest[field]));
  assert.ok(named.length > 10);
  assert.deepEqual(
    named.filter((path) => path !== './package.json' && !files.includes(path.replace('./', ''))),
    [],
  );
  assert.ok(Array.isArray(manifest['man']), 'npm links man pages only where `man` is an array');
  assert.ok(Array.isArray(manifest['keywords']));
});

test('the manifest → nothing of the repository, no dependency, and no script that runs at an installation', () => {
  const wrong = ['imports', 'files', 'scripts', 'devDependencies', 'dependencies', 'optionalDependencies', 'peerDependencies'];
  assert.deepEqual(
    [...wrong, 'bundleDependencies', 'gypfile'].filter((field) => field in manifest),
    [],
  );
});

test('the package with four addons → small', () => {
  const sizes = files.map((file) => ({ file, bytes: statSync(join(folder, file)).size }));
  const addons = sizes.filter(({ file }) => file.endsWith('.node')).map(({ bytes }) => bytes);
  const bytes = sizes.reduce((sum, each) => sum + each.bytes, 0) + Math.max(...addons) * (4 - addons.length);
  assert.ok(bytes <= installedBytesMax, `${bytes} bytes`);
});

test('the package → no function is in two of its files', () => {
  const seen = new Map<string, string>();
  for (const file of files.filter((name) => /^dist\/bundle\/[^/]+\.[cm]js$/.test(name))) {
    // The beginning of a function that is long enough to be our own; esbuild's helpers are in each
    // file.
    const own = readFileSync(join(folder, file), 'utf8').matchAll(/^(?:async )?function\*? \w{4,}\(.*\n.*|^var \w+ = class .*/gm);
    for (const [line] of own) {
      // It loads the file that has the function of this name.
      if (/\(\.\.\.args\) \{\n {2}return part\d*\(\)\./.test(line)) continue;
      // Two lines, for which the preload does not load the file that has all other names.
      if (line.startsWith('function guardedBy(')) continue;
      assert.equal(seen.get(line), undefined, `${file} has ${line}`);
      seen.set(line, file);
    }
  }
  assert.ok(seen.size > 200);
});

test('the package → no file names a path of the machine that built it', () => {
  // A home or repository of one letter would be found everywhere by chance.
  const paths = [root, process.env['HOME'] ?? ''].filter((path) => path.length > 2 && path !== '/root');
  for (const file of files) {
    const content = readFileSync(join(folder, file));
    for (const path of paths) assert.ok(!content.includes(path), `${file} names ${path}`);
  }
});

test('npm publish in the repository → refused, as that is not what is published', () => {
  const manifestHere = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  assert.equal(manifestHere.scripts['prepublishOnly'], 'node scripts/pack.mjs --refuse');
  assert.throws(
    () => execFileSync(process.execPath, [join(root, 'scripts/pack.mjs'), '--refuse'], { stdio: 'pipe', encoding: 'utf8' }),
    {
      status: 1,
      stderr: /Run `npm run pack:all`, and publish the file/,
    },
  );
});
