import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** The rows of `docs/errors.md` that begin with a code and a reason. */
const documented = [
  ...fs.readFileSync(`${root}docs/errors.md`, 'utf8').matchAll(/^\| `(E\w+)` \| `([a-z-]+)` \| (.+) \|$/gm),
].map(([, code = '', reason = '', rest = '']) => ({ code, reason, rest }));

const sources = new Map(
  fs
    .readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => [file.replaceAll('\\', '/'), fs.readFileSync(`${root}src/${file}`, 'utf8')]),
);

/** The members of a union of string literals, and of the unions of the same kind that it is made of. */
function union(name: string): readonly string[] {
  for (const text of sources.values()) {
    const body = new RegExp(`^export type ${name} =([^;]+);`, 'm').exec(text)?.[1];
    if (body === undefined) continue;
    const members = body
      .replaceAll(/\/\/.*$/gm, '')
      .split('|')
      .map((member) => member.trim())
      .filter((member) => member !== '');
    return [...new Set(members.flatMap((member) => (member.startsWith("'") ? [member.slice(1, -1)] : union(member))))];
  }
  assert.fail(`there is no union ${name} in src`);
}

test('docs/errors.md → it has a row for each reason that the types allow, and for no other', () => {
  const reasons = union('Reason');
  assert.ok(reasons.includes('held') && reasons.includes('bad-address') && reasons.length > 20);
  assert.deepEqual([...new Set(documented.map(({ reason }) => reason))].sort(), [...reasons].sort());
});

test('docs/errors.md → no row twice, and each says what happened and what to do', () => {
  const rows = documented.map(({ code, reason }) => `${code} ${reason}`);
  assert.equal(new Set(rows).size, rows.length);
  for (const { code, reason, rest } of documented) {
    const [happened = '', todo = '', ...more] = rest.split(' | ');
    assert.ok(happened.length > 10 && todo.length > 5 && more.length === 0, `${code} ${reason}: ${rest}`);
  }
});

/** Code and reason where both are written out: `refuse('held', 'EADDRINUSE', …)`, `bad(text, 'bad-option', 'EINVAL', …)`. */
const written = [
  /\brefuse\(\s*'([a-z-]+)',\s*'(E\w+)'/g,
  /\brefuse\([^'()]*'([a-z-]+)' : '[a-z-]+',\s*'(E\w+)'/g,
  /\brefuse\([^()]*\? '[a-z-]+' : '([a-z-]+)',\s*'(E\w+)'/g,
  /\bbad\(\w+(?:\(\w+\))?,\s*'([a-z-]+)',\s*'(E\w+)'/g,
];

test('each code and reason that the source writes beside each other → a row of docs/errors.md', () => {
  const rows = new Set(documented.map(({ code, reason }) => `${code} ${reason}`));
  const pairs = new Set<string>();
  for (const [file, text] of sources) {
    for (const pattern of written) {
      for (const [, reason = '', code = ''] of text.matchAll(pattern)) {
        pairs.add(`${code} ${reason}`);
        assert.ok(rows.has(`${code} ${reason}`), `src/${file} refuses with ${code} (${reason}), which docs/errors.md lacks`);
      }
    }
  }
  assert.ok(pairs.size >= 10, `only ${pairs.size} found: do the patterns above still match the source?`);
});

test('each code and reason of docs/errors.md → both are written somewhere in the source', () => {
  const text = [...sources.values()].join('\n');
  // These come from the kernel as they are.
  const fromTheKernel = new Set([
    'system',
    'no-directory',
    'lock-denied',
    'lock-is-symlink',
    'lock-not-a-file',
    'denied',
    'too-long',
    'absent',
    'not-a-stream',
  ]);
  for (const { code, reason } of documented) {
    assert.ok(text.includes(`'${reason}'`), `${reason} is nowhere in src`);
    if (!fromTheKernel.has(reason)) assert.ok(text.includes(`'${code}'`), `${code} (${reason}) is nowhere in src`);
  }
});
