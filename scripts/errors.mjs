/**
 * Makes the list of `docs/errors.md` from the table in `src/errors/reasons.ts`. Part of `npm run
 * api`.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './step.mjs';

const { library } = await load('advice');
const { partsOf, sentence } = await load('messageOf');
const { reasons } = await load('reasons');

const begin = '<!-- Made by `npm run api` from src/errors/reasons.ts. -->\n\n';
const end = '\n<!-- The end of what is made. -->';

/** The facts of the example sentences. */
const sample = {
  call: 'open',
  holder: 'process 412',
  since: '',
  pid: 412,
  handover: 'served',
  path: '/run/app.sock',
  kind: 'a directory, not a socket',
  user: () => 'user www-data',
  owner: () => 'user root',
  listens: true,
  wrong: '',
};

/** Further facts of the reasons that need them. */
const samples = {
  'aside-occupied': { path: '/run/.reuseaddr-aside.app.sock' },
  'no-directory': { path: '/run/app' },
  'too-long': { path: `/${'srv/'.repeat(30)}${'x'.repeat(90)}` },
};

/** The reasons that only `connect` reports. */
const toConnect = new Set(['absent', 'stale', 'backlog-full', 'denied']);

/**
 * The reasons of a wrong call. Each message of these tells its own mistake, so none is a sample.
 */
const mistakes = [
  'bad-argument',
  'bad-address',
  'bad-option',
  'unknown-user',
  'unknown-group',
  'unsupported',
  'already-listening',
  'no-credentials',
  'not-a-stream',
];

/** The front end of the reasons about the lock file: the page gives this advice once for all. */
const withoutLockPath = { ...library, advice: { ...library.advice, lockPath: undefined } };

/** Returns the page with a new list. */
export function errorsPage(page) {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < 0) throw new Error('docs/errors.md has lost the comments between which its list is made.');
  return page.slice(0, from) + begin + list() + page.slice(to);
}

function list() {
  const rows = Object.keys(reasons)
    .filter((reason) => reason !== 'system' && !mistakes.includes(reason))
    .flatMap(rowsOf);
  const paragraphs = [
    rows.map(item).join('\n'),
    'From `lock-not-a-file` to `lock-foreign-content`, another `lockPath` helps, too.',
    wrapped(`These reasons mean that the call is wrong, and the message says what to pass instead: ${listed(mistakes)}.`),
    wrapped(
      'The reason `system` stands for an errno of the kernel, and `syscall` for the call. The message explains it, and what to do.',
    ),
  ];
  return `${paragraphs.join('\n\n')}\n`;
}

/** Returns the reasons, each with its codes, as a part of a sentence. */
function listed(names) {
  const each = names.map((reason) => `\`${reason}\` (${reasons[reason].codes.map((code) => `\`${code}\``).join(', ')})`);
  return `${each.slice(0, -1).join(', ')} and ${each.at(-1)}`;
}

/** Returns one row for all codes that tell of the same event, with the advice of the first. */
function rowsOf(reason) {
  const lockFile = reason.startsWith('lock-') && { path: '/run/app.sock.lock' };
  const alike = new Map();
  for (const code of reasons[reason].codes) {
    const row = said(reason, { ...sample, ...lockFile, code, ...samples[reason] });
    const known = alike.get(row[0]);
    alike.set(row[0], { codes: [...(known?.codes ?? []), code], reason, row: known?.row ?? row });
  }
  return [...alike.values()];
}

function said(reason, facts) {
  const task = facts.code === 'ECONNREFUSED' || toConnect.has(reason) ? 'connect to' : 'listen on';
  const explanation = { task, reason, facts: { ...facts, listens: task === 'listen on' } };
  const { happened, todo } = partsOf(explanation, library);
  const short = reason.startsWith('lock-') ? partsOf(explanation, withoutLockPath).todo : '';
  return [sentence(happened).replace(' It was left alone.', '').replace(/x{9,}/, '`xxx…`'), short || todo];
}

function item({ codes, reason, row }) {
  const text = row.map((part) => part.replaceAll(/\{ [^}]+ \}|(?<![\w/])(\.?\/[@\w.-]*\w)+/g, '`$&`')).join(' ');
  const named = codes.map((each) => `\`${each}\``).join(', ');
  return wrapped(`- **\`${reason}\`** (${named}): ${text.trim()}`);
}

/** Breaks a list item or a paragraph as the rest of the page, and no code in two. */
function wrapped(text) {
  const whole = text.replaceAll(/`[^`]*`/g, (code) => code.replaceAll(' ', '\u00A0'));
  const lines = whole.replaceAll(/([^\n]{1,98})(?: |$)/g, '$1\n').trimEnd();
  return lines.replaceAll('\n', text.startsWith('- ') ? '\n  ' : '\n').replaceAll('\u00A0', ' ');
}

function load(name) {
  return import(pathToFileURL(join(root, `dist/errors/${name}.js`)).href);
}
