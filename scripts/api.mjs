/**
 * `npm run api`: makes the public interface for review (`etc/reuseaddr.api.md`) and the reference
 * (`docs/api.md`) from the docstrings, and the list of `docs/errors.md` from the table of reasons.
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

/** The page that owns the subject of an export. */
const guides = {
  claim: '[Addresses](address.md#claim)',
  connect: '[Connecting](client.md)',
  inspect: '[Addresses](address.md#inspect)',
  peerCredentials: '[Access control](access-control.md#peercredentials)',
  SocketAddressError: '[Errors](errors.md)',
  ListenOptions: '[Waiting and handover](handover.md), [Access control](access-control.md), [Addresses](address.md)',
};

/** Exports that another page lists, and those whose name in a signature says enough. */
const elsewhere = new Set(
  'AddressState AllowRule BindOptions ClaimSummary ConnectOptions Credentials Displacement InspectOptions Reason toJSON'.split(
    ' ',
  ),
);

/** The width of the pages, as the prose check has it. */
const columnsMax = 100;
const check = process.argv.includes('--check');
if (!check) await prepare();
// It loads the modules that prepare() has built.
const { errorsPage } = await import('./errors.mjs');
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
  const exported = members[0].members
    .filter(({ name }) => !elsewhere.has(name))
    .toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind) || compare(a.name, b.name));
  const sections = exported.map((member) => section(member));
  return `# API

Made from the docstrings by \`npm run api\`. Editors show all of them on hover, with examples and the
codes that each function throws. Other pages list the options of [\`connect\`](client.md), the rules
of [\`allow\`](access-control.md#allow), the [states](address.md#inspect) of an address and the
[errors](errors.md). An *address* is a pathname, or an abstract name such as \`@app\` (Linux).

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

/**
 * Returns one export, with its members. Each has its first sentence: editors show the rest on
 * hover, and the guides tell it.
 */
function section(item) {
  const text = readDocstring(item.docComment ?? '');
  const guide = guides[item.name];
  const described = wrapped(summary(text));
  const members = (item.members ?? []).filter(
    ({ docComment = '', kind, name }) => !docComment.includes('@internal') && kind !== 'Constructor' && !elsewhere.has(name),
  );
  const parts = [
    `## ${title(item)}`,
    ['Interface', 'Class'].includes(item.kind) ? '' : `\`\`\`ts\n${signature(item)}\n\`\`\``,
    described,
    guide === undefined ? '' : wrapped(`More: ${guide}.`),
    items(members).join('\n'),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** Returns an item for each member, and one for all that need no words. */
function items(members) {
  const described = members.map((member) => ({ name: `\`${signature(member)}\``, text: readDocstring(member.docComment ?? '') }));
  const plain = described.filter(({ text }) => text === '').map(({ name }) => name);
  return [
    ...described.filter(({ text }) => text !== '').map(({ name, text }) => `${name}: ${summary(text)}`),
    ...(plain.length > 0 ? [plain.join(', ')] : []),
  ].map((item) => wrapped(`- ${item}`));
}

/** Returns the declaration, without what each of its kind has. */
function signature({ excerptTokens }) {
  return excerptTokens
    .map(({ text }) => text)
    .join('')
    .replaceAll(/\s+/g, ' ')
    .replace(/^export (declare )?(function )?/, '')
    .replace(/^get (\w+)\(\)/, '$1')
    .replaceAll('readonly ', '')
    .replaceAll(/(\?: [^?;]*?) \| undefined;/g, '$1;')
    .replace(/;$/, '')
    .trim();
}

/** Returns the text of a docstring, without its frame and its tags. */
function readDocstring(comment) {
  const plain = comment.replaceAll(/^\s*(\/\*\*|\*\/|\* ?)/gm, '').replace(/\*\/\s*$/, '');
  return paragraphs(plain.split(/^@/m)[0]);
}

/** The first sentence, and the default of an option. */
function summary(text) {
  const [first = '', ...others] = flat(text.split('\n\n')[0]).split(/(?<=[^:]\.)\s+(?=[A-Z])/);
  return [first, ...others.filter((sentence) => sentence.startsWith('Default:'))].join(' ');
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
