/**
 * The workflows of GitHub: actions pinned by hash, the project's own commands, no secret.
 * `tests/long/actionlint.test.ts` lints them.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../package/installed.js';

const folder = join(root, '.github/workflows');
const workflows = fs.readdirSync(folder).map((name) => ({ name, text: fs.readFileSync(join(folder, name), 'utf8') }));

test('every action is pinned by a full hash, with its version next to it, and the same one everywhere', () => {
  const used = workflows.flatMap(({ text }) => [...text.matchAll(/uses: (.*)$/gm)].map((match) => match[1] ?? ''));
  assert.ok(used.length > 5);
  assert.deepEqual(
    used.filter((action) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(action)),
    [],
  );
  const names = new Set(used.map((action) => action.split('@', 1)[0]));
  assert.equal(new Set(used).size, names.size);
});

test('no workflow has a token but that of its run, and only the job that publishes may identify itself', () => {
  for (const { name, text } of workflows) {
    assert.match(text, /^permissions:\n {2}contents: read$/m, name);
    assert.doesNotMatch(text, /secrets\./, name);
  }
  const identified = workflows.filter(({ text }) => text.includes('id-token: write'));
  assert.deepEqual(
    identified.map(({ name, text }) => [name, text.split('id-token: write').length - 1]),
    [['release.yml', 1]],
  );
});

test('every script that a workflow runs is there', () => {
  const { scripts } = JSON.parse(fs.readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  for (const { name, text } of workflows) {
    for (const [, script = ''] of text.matchAll(/npm run ([\w:]+)/g)) assert.ok(script in scripts, `${name}: ${script}`);
    for (const [, path = ''] of text.matchAll(/(?:node |run: )((?:scripts|\.ci)\/[\w.-]+)/g)) {
      assert.ok(fs.existsSync(join(root, path)), `${name}: ${path}`);
    }
    for (const [, folderName = ''] of text.matchAll(/--only (\w+)/g)) {
      assert.ok(fs.existsSync(join(root, 'tests', folderName)), `${name}: tests/${folderName}`);
    }
  }
});
