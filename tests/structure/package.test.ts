import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/[/\\]$/, '');

/** Everything that may be published: nothing else is, and each of them is there. */
const published = [
  /^dist\/[\w/-]+\.(js|d\.ts)$/,
  /^prebuilt\/[\w-]+\/reuseaddr\.node$/,
  /^native\/\w+\.[ch]$/,
  /^docs\/[\w/-]+\.(md|svg|png)$/,
  /^examples\/[\w./-]+\.(md|mjs|cjs|sh|conf|cfg|service|socket|yaml)$/,
  /^man\/reuseaddr\.1$/,
  /^README\.md$/,
  /^CHANGELOG\.md$/,
  /^SECURITY\.md$/,
  /^LICENSE$/,
  /^package\.json$/,
];

const entryPoints = [
  'dist/bundle/index.js',
  'dist/index.d.ts',
  'dist/bundle/register.js',
  'dist/register.d.ts',
  'dist/cli/main.js',
];

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
};

const packed = packedFiles();

test('the package is packed → it holds the build, the addon with its source, and the documents, and nothing else', () => {
  assert.deepEqual(
    packed.filter((file) => !published.some((pattern) => pattern.test(file))),
    [],
    'these are not meant to be published',
  );
  for (const pattern of published) {
    assert.ok(
      packed.some((file) => pattern.test(file)),
      `nothing that matches ${pattern} would be published`,
    );
  }
  for (const file of entryPoints) assert.ok(packed.includes(file), `${file} would not be published`);
});

test('the package is packed → no file names a path of the machine that built it', () => {
  // A home or repository of one letter would be found everywhere by chance.
  const paths = [root, process.env['HOME'] ?? ''].filter((path) => path.length > 2 && path !== '/root');
  for (const file of packed) {
    const content = readFileSync(join(root, file));
    for (const path of paths) assert.ok(!content.includes(path), `${file} names ${path}`);
  }
});

test('the package is installed → no script runs and nothing else is installed', () => {
  const atInstall = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare', 'postprepare'];
  assert.deepEqual(
    atInstall.filter((name) => name in manifest.scripts),
    [],
  );
  for (const field of ['dependencies', 'optionalDependencies', 'peerDependencies', 'bundleDependencies', 'gypfile']) {
    assert.ok(!(field in manifest), `package.json has ${field}`);
  }
});

function packedFiles(): string[] {
  // On Windows npm is a .cmd file, which only a shell can start.
  const shell = process.platform === 'win32';
  const answer = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    shell,
    stdio: 'pipe',
  });
  const [packages] = JSON.parse(answer) as [{ readonly files: readonly { readonly path: string }[] }];
  return packages.files.map((file) => file.path);
}
