/**
 * Makes the table of `docs/errors.md` from the table in `src/errors/reasons.ts`. Part of `npm run
 * api`.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './step.mjs';

const { library } = await load('advice');
const { partsOf, sentence } = await load('message');
const { reasons } = await load('reasons');

const begin = '<!-- Made by `npm run api` from src/errors/reasons.ts. -->\n\n';
const end = '\n<!-- The end of what is made. -->';

/** The facts of the example sentences. */
const sample = {
  call: 'open',
  holder: 'process 412',
  since: ' since 10:31',
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
  'bad-argument': {
    wrong: 'the first argument must be a server of node:net, and this is a function',
    right: 'pass createServer(app)',
  },
  'bad-address': { wrong: 'the address is empty', right: 'pass a path, or @ and an abstract name' },
  'bad-option': { option: 'mode', wrong: 'must be an integer from 0 to 0o777', right: 'write 0o660' },
  'unknown-user': { option: 'owner', wrong: 'www' },
  'unknown-group': { option: 'group', wrong: 'www' },
  'not-a-stream': {
    wrong: 'it is a datagram socket, not a stream',
    right: 'use reuseaddr connect --type=datagram, or a program for such sockets',
  },
  unsupported: { wrong: 'abstract names exist on Linux only', right: 'write ./@app for a file of that name' },
};

/** Errnos whose meaning errno(3) does not tell. */
const particular = ['EMFILE', 'ENOLCK', 'ENOTSUP', 'EBUSY', 'ESTALE'];

/** The reasons that only `connect` reports. */
const toConnect = new Set(['absent', 'stale', 'backlog-full', 'denied', 'not-a-stream']);

/** Returns the page with a new table. */
export function errorsPage(page) {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < 0) throw new Error('docs/errors.md has lost the comments between which its table is made.');
  return page.slice(0, from) + begin + table() + page.slice(to);
}

function table() {
  const lines = Object.keys(reasons)
    .filter((reason) => reason !== 'system')
    .flatMap(rowsOf);
  return `${[
    '| code | reason | what happened | what to do |',
    '|---|---|---|---|',
    ...lines.map(line),
    '',
    'The reason `system` stands for an errno of the kernel, and `syscall` for the call. errno(3) explains',
    'those that are not listed.',
    '',
    '| code | what happened | what to do |',
    '|---|---|---|',
    ...systemRows().map(line),
  ].join('\n')}\n`;
}

/** Returns one row for all codes with which a reason says the same. */
function rowsOf(reason) {
  const rows = new Map();
  for (const code of reasons[reason].codes) {
    const base = { ...sample, ...(reason.startsWith('lock-') && { path: '/run/app.sock.lock' }), code };
    const row = said(reason, { ...base, ...samples[reason] });
    rows.set(row.join(), { codes: [...(rows.get(row.join())?.codes ?? []), code], reason, row });
  }
  return [...rows.values()];
}

function systemRows() {
  const denied = Object.entries({ bind: 'EACCES', chown: 'EPERM', unlink: 'EACCES', realpath: 'EACCES', probe: 'EACCES' });
  return [
    ...[...denied, ['bind', 'EPERM']].map(([call, code]) => ({ codes: code, row: said('system', { ...sample, code, call }) })),
    ...particular.map((code) => ({ codes: code, row: said('system', { ...sample, code }) })),
  ].map(({ codes, row: [happened, todo] }) => ({ codes: [codes], row: [happened.replace(failing, upperCase), todo] }));
}

/** The beginning of the sentence of an errno, and the first letter of its cause. */
const failing = /^The system call \w+ failed with \w+ on \S+: (\w)/;

function upperCase(_whole, letter) {
  return letter.toUpperCase();
}

function said(reason, facts) {
  const task = facts.code === 'ECONNREFUSED' || toConnect.has(reason) ? 'connect to' : 'listen on';
  const { happened, todo } = partsOf({ task, reason, facts: { ...facts, listens: task === 'listen on' } }, library);
  return [sentence(happened).replace(' It was left alone.', ''), todo];
}

function line({ codes, reason, row }) {
  const code = (text) => text.replaceAll(/\{ [^}]+ \}|(?<![\w/])(\.?\/[@\w.-]*\w)+/g, '`$&`');
  const cells = [
    codes.map((each) => `\`${each}\``).join(', '),
    ...(reason === undefined ? [] : [`\`${reason}\``]),
    ...row.map(code),
  ];
  return `| ${cells.join(' | ')} |`;
}

function load(name) {
  return import(pathToFileURL(join(root, `dist/errors/${name}.js`)).href);
}
