/** The guides' examples run, as the README's do, and generated pages are current. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
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

test('docs/api.md, etc/reuseaddr.api.md and man/reuseaddr.1 → they are what the source makes of them', () => {
  for (const script of ['api', 'man']) {
    execFileSync(process.execPath, [join(root, `scripts/${script}.mjs`), '--check'], { encoding: 'utf8' });
  }
});

test('README, "Platforms", and docs/platforms.md → they name the versions that the matrix runs, and no others', () => {
  const versions = new Map<string, Set<string>>([['Node', new Set(['20'])]]);
  const see = (name: string, version: string): void => void versions.set(name, (versions.get(name) ?? new Set()).add(version));
  for (const folder of ['tests/runtimes', 'tests/package/runtimes']) {
    const { dependencies } = JSON.parse(read(`${folder}/package.json`)) as { dependencies: Record<string, string> };
    for (const [name, wanted] of Object.entries(dependencies)) {
      const [major = '', minor = ''] = (/[\d.]+$/.exec(wanted)?.[0] ?? '').split('.');
      if (name.startsWith('node')) see('Node', major);
      else see(name.includes('deno') ? 'Deno' : 'Bun', `${major}.${minor}`);
    }
  }
  const readme = read('README.md');
  const section = /^## Platforms$[^]*?(?=^## )/m.exec(readme)?.[0] ?? '';
  const table = [...read('docs/platforms.md').matchAll(/^\|.*$/gm)].join('\n');
  for (const text of [section, table]) {
    for (const [name, expected] of versions) {
      const lists = [...text.matchAll(new RegExp(`${name} ((?:[\\d.]+(?:, )?)+)`, 'g'))].map((match) => match[1] ?? '');
      assert.deepEqual(new Set(lists.flatMap((list) => list.split(', ')).filter((version) => version !== '')), expected, name);
    }
  }
});

function read(page: string): string {
  return fs.readFileSync(join(root, page), 'utf8');
}
