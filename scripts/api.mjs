/**
 * `npm run api`: makes the public interface for review (`etc/reuseaddr.api.md`) and the reference
 * (`docs/api.md`) from the docstrings, and the table of `docs/errors.md` from the table of reasons.
 *
 * With `--check` it reports what is out of date, and changes nothing.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { prepare } from './prepare.mjs';
import { root } from './step.mjs';

// Loaded by require, because an import would make the linter judge every script of the project by
// its types.
const { Extractor, ExtractorConfig } = createRequire(import.meta.url)('@microsoft/api-extractor');

/** The width of the pages, as the prose check has it. */
const columnsMax = 100;
const check = process.argv.includes('--check');
if (!check) await prepare();
// It loads the modules that prepare() has built.
const { errorsPage, reasonNames } = await import('./errors.mjs');
mkdirSync(join(root, 'build'), { recursive: true });
const workshop = mkdtempSync(join(root, 'build/api-'));
try {
  const made = {
    'etc/reuseaddr.api.md': extract(),
    'docs/api.md': reference(),
    'docs/errors.md': errorsPage(read('docs/errors.md')),
  };
  const stale = Object.entries(made).filter(([path, text]) => !existsSync(join(root, path)) || read(path) !== text);
  for (const [path, text] of stale) {
    if (!check) writeFileSync(join(root, path), text);
    console.log(check ? `${path} is out of date: run \`npm run api\`, and look at what has changed` : path);
  }
  if (check && stale.length > 0) process.exitCode = 1;
} finally {
  rmSync(workshop, { recursive: true, force: true });
}

function read(path) {
  return readFileSync(join(root, path), 'utf8');
}

function extract() {
  const path = join(root, 'scripts/api-extractor.json');
  const configObject = ExtractorConfig.loadFile(path);
  configObject.apiReport = {
    enabled: true,
    reportFolder: workshop,
    reportTempFolder: workshop,
    reportFileName: 'reuseaddr.api.md',
  };
  configObject.docModel = { enabled: true, apiJsonFilePath: join(workshop, 'api.json') };
  const config = ExtractorConfig.prepare({
    configObject,
    configObjectFullPath: path,
    packageJsonFullPath: join(root, 'package.json'),
  });
  const wrong = [];
  Extractor.invoke(config, {
    localBuild: true,
    messageCallback: (message) => {
      message.handled = true;
      if (message.logLevel === 'error' || message.category === 'Compiler') wrong.push(message.text);
    },
  });
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
  return readFileSync(join(workshop, 'reuseaddr.api.md'), 'utf8');
}

function reference() {
  const { members } = JSON.parse(readFileSync(join(workshop, 'api.json'), 'utf8'));
  const order = ['Function', 'Class', 'Interface', 'TypeAlias'];
  const exported = members[0].members.toSorted(
    (a, b) => order.indexOf(a.kind) - order.indexOf(b.kind) || compare(a.name, b.name),
  );
  const sections = exported.map((member) => section(member, 2));
  return `# API

Made from the docstrings by \`npm run api\`. [Errors](errors.md) explains each error, and
[the guide](README.md) each task.

${exported.map(({ name, kind }) => `- [${title({ name, kind })}](#${anchor(title({ name, kind }))})`).join('\n')}

${sections.join('\n\n')}
`;
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

function title({ name, kind }) {
  if (['Function', 'Method'].includes(kind)) return `\`${name}()\``;
  return kind === 'Class' ? `class \`${name}\`` : `\`${name}\``;
}

function anchor(text) {
  return text
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .replaceAll(' ', '-');
}

/** Returns one export, with its members. */
function section(item, level) {
  const { text, example, parameters, throws, see } = readDocstring(item.docComment ?? '');
  const parts = [`${'#'.repeat(level)} ${title(item)}`, `\`\`\`ts\n${signature(item)}\n\`\`\``, text];
  if (parameters.length > 0) parts.push(parameters.map(([name, what]) => wrapped(`- \`${name}\`: ${what}`)).join('\n'));
  if (throws.length > 0) parts.push(wrapped(`**Throws** ${throws.join('; ')}`));
  if (see.length > 0) parts.push(wrapped(`**See** ${see.join('; ')}`));
  parts.push(...example);
  const members = (item.members ?? []).filter(
    ({ docComment = '', kind }) => !docComment.includes('@internal') && kind !== 'Constructor',
  );
  return [...parts.filter((part) => part !== ''), ...members.map(row)].join('\n\n');
}

function row(member) {
  const { text, throws } = readDocstring(member.docComment ?? '');
  const what = [text, ...throws.map((error) => wrapped(`**Throws** ${error}`))].filter((part) => part !== '').join('\n\n');
  return `**\`${signature(member).replaceAll(/\s+/g, ' ').replace(/;$/, '')}\`**${what === '' ? '' : `\n\n${what}`}`;
}

function signature({ name, excerptTokens }) {
  if (name === 'Reason') return `type Reason =\n${reasonNames.map((reason) => `  | '${reason}'`).join('\n')};`;
  return excerptTokens
    .map(({ text }) => text)
    .join('')
    .replace(/^export (declare )?/, '')
    .trim();
}

/** Splits a docstring into its parts, without its frame. */
function readDocstring(comment) {
  const plain = comment.replaceAll(/^\s*(\/\*\*|\*\/|\* ?)/gm, '').replace(/\*\/\s*$/, '');
  const [text = '', ...tags] = plain.split(/^@/m);
  const named = (name) => tags.filter((tag) => /^\w+/.exec(tag)?.[0] === name).map((tag) => tag.slice(name.length));
  const of = (name) => named(name).map((tag) => flat(tag).replaceAll(/\{(\w+)\}/g, '`$1`'));
  const parameters = of('param').map((tag) => [/^\w+/.exec(tag)?.[0] ?? '', tag.replace(/^\w+( -)? */, '')]);
  const example = named('example').map((tag) => tag.trim());
  return { text: paragraphs(text), example, parameters, throws: of('throws'), see: of('see') };
}

function flat(text) {
  return text.trim().replaceAll(/\s+/g, ' ');
}

/** Breaks a paragraph or a list item into lines of at most 100 columns. */
function wrapped(text) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line !== '' && line.length + 1 + word.length > columnsMax) lines.push(text.startsWith('- ') ? `  ${word}` : word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.join('\n');
}

function paragraphs(text) {
  return text
    .trim()
    .split(/\n\s*\n/)
    .map((paragraph) =>
      paragraph
        .split(/\n(?=- )/)
        .map((item) => wrapped(flat(item)))
        .join('\n'),
    )
    .join('\n\n');
}
