import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'node:test';

const src = new URL('../../../src/', import.meta.url);

test('two files of src, in any folders → they have different names', () => {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
  assert.ok(files.length > 0, 'no source was found');
  assert.deepEqual(namedAlike(files), []);
  assert.deepEqual(namedAlike(['claim/bind.ts', 'server/bind.ts', 'index.ts']), ['claim/bind.ts', 'server/bind.ts']);
});

/** Returns the files whose name another one has, too. */
function namedAlike(files: readonly string[]): string[] {
  const names = files.map((path) => basename(path).toLowerCase());
  return files.filter((_path, index) => names.filter((name) => name === names[index]).length > 1);
}
