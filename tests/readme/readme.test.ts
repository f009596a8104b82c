/** Every example of the README is run, against the package as it would be published. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { examplesOf, needsOf, Project, root, type Example } from './examples.js';

const readme = fs.readFileSync(join(root, 'README.md'), 'utf8');
const examples = examplesOf(readme);

/** Commands of this repository; they have no meaning where the package is only installed. */
const ofRepository = /^npm (?:run (\w+)|(test))/gm;

let project: Project;
const directory = fs.mkdtempSync(join(fs.realpathSync(os.tmpdir()), 'ra-'));
before(() => {
  project = new Project(directory);
});
after(() => fs.rmSync(directory, { recursive: true, force: true }));

for (const example of examples) {
  const name = `README.md, line ${example.line}: ${example.heading} (${example.language})`;
  if (example.text.search(ofRepository) >= 0) test(`${name} → package.json has these scripts`, () => checkScripts(example));
  else test(`${name} → runs, and prints what it says`, needsOf(example), () => checkRun(example));
}

async function checkRun(example: Example): Promise<void> {
  assert.match(example.language, /^(ts|sh)$/, 'an example that is not run');
  const { status, printed, missing } = await project.run(example);
  assert.deepEqual(missing, [], `it printed:\n${printed}`);
  assert.equal(status, 0, printed);
}

function checkScripts(example: Example): void {
  const { scripts } = JSON.parse(fs.readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  for (const [, script, npmTest] of example.text.matchAll(ofRepository)) assert.ok(scripts[script ?? npmTest ?? ''], script);
  const others = example.text.split('\n').filter((line) => line !== '' && line.search(ofRepository) < 0);
  assert.deepEqual(others, [], 'commands of the repository stand alone');
}

const docs = fs.readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
for (const page of ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'tests/README.md', ...docs.map((name) => `docs/${name}`)]) {
  test(`${page} → every link inside the repository leads somewhere`, () => {
    const text = fs.readFileSync(join(root, page), 'utf8');
    const broken = [...text.matchAll(/\]\((?!https?:)([^)]+)\)/g)]
      .map((match) => match[1] ?? '')
      .filter((link) => !leadsSomewhere(page, link));
    assert.deepEqual(broken, []);
  });
}

test('the tests that a page names are there', () => {
  const pages = ['README.md', 'docs/guarantees.md', 'docs/protocol.md']
    .map((page) => fs.readFileSync(join(root, page), 'utf8'))
    .join('\n');
  const named = [...pages.matchAll(/`(tests\/[\w/.-]+)`/g)].map((match) => match[1] ?? '');
  assert.ok(named.length > 5);
  assert.deepEqual(
    named.filter((path) => !fs.existsSync(join(root, path))),
    [],
  );
});

test('docs/guarantees.md gives each guarantee in the words of the README, and each of its functions is in the file that it names', () => {
  const guarantees = fs.readFileSync(join(root, 'docs/guarantees.md'), 'utf8');
  const inOneLine = (match: RegExpExecArray): string => `${match[1]}: ${match[2]?.replaceAll(/\s+/g, ' ')}`;
  const promised = [...readme.matchAll(/^- \*\*(G\d [^.*]+)\.\*\* ([^]*?)(?=\n- |\n\n)/gm)].map(inOneLine);
  const explained = [...guarantees.matchAll(/^## (G\d .+)\n\n\*([^*]+)\*$/gm)].map(inOneLine);
  assert.ok(promised.length > 5);
  assert.deepEqual(explained, promised);
  assert.deepEqual(functionsMissing(guarantees.replaceAll('\n', ' ')), []);
});

/** The functions of a text such as "`open` and `socket` in `kernel/posix.ts`" that are absent. */
function functionsMissing(text: string): string[] {
  const named = [...text.matchAll(/((?:`\w+`(?:, and |, | and )?)+) in `([\w/]+\.ts)`/g)];
  assert.ok(named.length > 20);
  return named.flatMap(([, functions = '', file = '']) => {
    const source = fs.readFileSync(join(root, 'src', file), 'utf8');
    const names = [...functions.matchAll(/`(\w+)`/g)].map((match) => match[1] ?? '');
    return names
      .filter((name) => !new RegExp(`(function\\*? |^  )${name}\\(`, 'm').test(source))
      .map((name) => `${name} in ${file}`);
  });
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
