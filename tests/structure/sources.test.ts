import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * A linter that resolves imports would read the types of these packages, and judge the sources by
 * what a test has installed.
 */
test('the folders of the sources → no package is installed in them, so the checks say the same before and after the tests', () => {
  const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const sources = folders.map(({ name }) => name).filter((name) => !['.git', 'node_modules', 'build', 'dist'].includes(name));
  assert.ok(sources.includes('tests') && sources.includes('src'));
  // The benchmarks load these by a path that no tool can follow.
  assert.deepEqual(
    installedIn(sources).filter((path) => path !== join('bench', 'peers', 'node_modules')),
    [],
    'An earlier version of the tests may have left these. Remove them.',
  );
});

test('the comments of src → each file that they name is there', () => {
  const there = ['src', 'tests'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => `/${folder}/${file}`),
  );
  const files = there.filter((file) => /^\/src\/.*\.(ts|md)$/.test(file));
  const named = files.flatMap((file) =>
    Array.from(readFileSync(join(root, file), 'utf8').matchAll(/`([\w/.-]+\.ts)`/g), ([, name]) => ({ file, name })),
  );
  assert.ok(named.length > 20);
  assert.deepEqual(
    named.filter(({ name }) => !there.some((path) => path.endsWith(`/${name?.replace(/^\.\//, '')}`))),
    [],
  );
});

function installedIn(folders: readonly string[]): string[] {
  return folders.flatMap((folder) => {
    const inside = readdirSync(join(root, folder), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const paths = inside.map(({ name }) => join(folder, name));
    const [installed, others] = [paths.filter(isPackages), paths.filter((path) => !isPackages(path))];
    return [...installed, ...installedIn(others)];
  });
}

function isPackages(path: string): boolean {
  return /[/\\]node_modules(-\w+)?$/.test(path);
}
