/** The guides' examples run, as the README's do. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { examplesOf, needsOf, Project, root } from './examples.js';

let project: Project;
const directory = fs.mkdtempSync(join(fs.realpathSync(os.tmpdir()), 'ra-'));
before(() => {
  project = new Project(directory);
});
after(() => fs.rmSync(directory, { recursive: true, force: true }));

/** Guides whose `sh` and `ts` blocks are programs. Other pages have tests of their own. */
const guides = ['address', 'handover'].map((name) => `docs/${name}.md`);

for (const page of guides) {
  for (const example of examplesOf(read(page)).filter(({ language }) => language === 'sh' || language === 'ts')) {
    test(`${page}, line ${example.line}: ${example.heading} → runs, and prints what it says`, needsOf(example), async () => {
      const { status, printed, missing } = await project.run(example);
      assert.deepEqual(missing, [], `it printed:\n${printed}`);
      assert.equal(status, 0, printed);
    });
  }
}

/** The docstrings of exports that have examples. */
const documented = fs
  .readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .flatMap((file) => [...read(`src/${file}`).matchAll(/^\/\*\*\n((?: \*.*\n)+)export (?:async )?\w+ (\w+)/gm)])
  .map(([, comment = '', name = '']) => ({ name, examples: examplesOf(comment.replaceAll(/^ \* ?/gm, '')) }))
  .filter(({ examples }) => examples.length > 0);

for (const { name, examples } of documented) {
  for (const example of examples) {
    test(`the example in the docstring of ${name} → runs, and prints what it says`, async () => {
      const { status, printed, missing } = await project.run(example);
      assert.deepEqual(missing, [], `it printed:\n${printed}`);
      assert.equal(status, 0, printed);
    });
  }
}

test('each function and class of docs/api.md → its docstring has an example', () => {
  const exported = [...read('docs/api.md').matchAll(/^## (?:class )?`(\w+)(?:\(\))?`$/gm)]
    .filter(([heading]) => /class|\(\)/.test(heading))
    .map(([, name = '']) => name);
  assert.ok(exported.length >= 7);
  const names = new Set(documented.map(({ name }) => name));
  assert.deepEqual(
    exported.filter((name) => !names.has(name)),
    ['Claim'],
    'a claim is in the examples of listen and claim',
  );
});

function read(page: string): string {
  return fs.readFileSync(join(root, page), 'utf8');
}
