/** The pages are right about the repository. Cheap to check, and broken by many a renaming. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { root } from '../readme/examples.js';

const single = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'];
const pages = [...single, ...['docs', 'examples', 'bench', 'tests', 'src'].flatMap(pagesIn)];

for (const page of pages) {
  test(`${page} → every link inside the repository leads somewhere, and every file that it names is there`, () => {
    const links = [...read(page).matchAll(/\]\((?!https?:)([^)]+)\)/g)].map((match) => match[1] ?? '');
    assert.deepEqual(
      links.filter((link) => !leadsSomewhere(page, link)),
      [],
    );
    const named = [...read(page).matchAll(/`((?:tests|src|bench|scripts|native)\/[\w/.-]+)`/g)].map((match) => match[1] ?? '');
    assert.deepEqual(
      named.filter((path) => !fs.existsSync(join(root, path))),
      [],
    );
  });
}

test('docs/README.md and examples/README.md → every page can be found from there', () => {
  for (const folder of ['docs', 'examples']) {
    const index = `${folder}/README.md`;
    const text = read(index);
    const unlisted = pagesIn(folder).filter((page) => page !== index && !text.includes(page.slice(folder.length + 1)));
    assert.deepEqual(unlisted, []);
  }
});

test('docs/guarantees.md → it gives each guarantee in the words of the README, and each function is in the file that it names', () => {
  const guarantees = read('docs/guarantees.md');
  const inOneLine = (match: RegExpExecArray): string => `${match[1]}: ${match[2]?.replaceAll(/\s+/g, ' ')}`;
  const promised = [...read('README.md').matchAll(/^- \*\*(G\d [^.*]+)\.\*\* ([^]*?)(?=\n- |\n\n)/gm)].map(inOneLine);
  const explained = [...guarantees.matchAll(/^## (G\d .+)\n\n\*([^*]+)\*$/gm)].map(inOneLine);
  assert.ok(promised.length > 5);
  assert.deepEqual(explained, promised);
  assert.deepEqual(functionsMissing(guarantees.replaceAll(/\s+/g, ' ')), []);
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

/** The functions of a text such as "`open` and `socket` in `kernel/posix.ts`" that are absent. */
function functionsMissing(text: string): string[] {
  const named = [...text.matchAll(/((?:`\w+`(?:, and |, | and )?)+) in `([\w/]+\.ts)`/g)];
  assert.ok(named.length > 20);
  return named.flatMap(([, functions = '', file = '']) => {
    const source = read(join('src', file));
    const names = [...functions.matchAll(/`(\w+)`/g)].map((match) => match[1] ?? '');
    return names
      .filter((name) => !new RegExp(`(function\\*? |^  )${name}\\(`, 'm').test(source))
      .map((name) => `${name} in ${file}`);
  });
}

function pagesIn(folder: string): string[] {
  return fs
    .readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md') && !path.includes('node_modules'))
    .map((path) => `${folder}/${path}`)
    .sort();
}

function read(page: string): string {
  return fs.readFileSync(join(root, page), 'utf8');
}

function leadsSomewhere(page: string, link: string): boolean {
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? join(root, page) : join(root, dirname(page), path);
  if (!fs.existsSync(target)) return false;
  if (anchor === undefined) return true;
  const headings = [...fs.readFileSync(target, 'utf8').matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1] ?? ''));
  return headings.includes(anchor);
}

/** As GitHub makes it of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .replaceAll(' ', '-');
}
