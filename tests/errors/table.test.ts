import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { library, type Advice, type FrontEnd, type Words } from '#dist/errors/advice.js';
import type { Facts } from '#dist/errors/facts.js';
import { messageOf, type Task } from '#dist/errors/messageOf.js';
import { reasons, type Reason } from '#dist/errors/reasons.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const names = Object.keys(reasons) as Reason[];

const facts: Facts = {
  code: 'EADDRINUSE',
  call: 'open',
  holder: 'process 412 (node server.js)',
  since: ' since 10:31',
  pid: 412,
  handover: 'served',
  path: '/run/app.sock',
  kind: 'a directory, not a socket',
  user: () => 'user www-data',
  owner: () => 'user root',
  listens: true,
  wrong: 'must be a number',
  option: 'mode',
  right: 'write 0o660',
  instead: 'allow',
};

/** Every way in which a sentence of the table can come out. */
function* everyMessage(frontEnd: FrontEnd): Generator<{ reason: Reason; code: string; message: string; shortMessage: string }> {
  const tasks: readonly Task[] = ['listen on', 'connect to', 'inspect', 'clean', 'tell which process is at the other end'];
  const systemCalls = ['open', 'bind', 'chown', 'unlink', 'rename', 'realpath', 'lstat', 'probe', 'listen', 'flock'];
  const errnos = [
    'EACCES',
    'EPERM',
    'EROFS',
    'ENOSPC',
    'EMFILE',
    'ENOLCK',
    'ENOTSUP',
    'EBUSY',
    'ELOOP',
    'EIO',
    'ESTALE',
    'ENOTUNIQ',
  ];
  for (const reason of names) {
    for (const code of reason === 'system' ? errnos : reasons[reason].codes) {
      for (const task of tasks) {
        for (const call of reason === 'system' ? systemCalls : ['open']) {
          for (const standing of [undefined, 'stopped', 'ourselves'] as const) {
            for (const handover of [
              undefined,
              'served',
              'unserved',
              'again',
              'late',
              'denied',
              'other-type',
              'bad-offer',
              'EIO',
            ] as const) {
              const known = { ...facts, code, call, standing, handover, listens: task === 'listen on' };
              yield { reason, code, ...messageOf({ task, address: '/run/app.sock', reason, facts: known }, frontEnd) };
            }
          }
        }
      }
    }
  }
}

test('every reason, code, task and state of the holder → whole sentences, of which the short message is the beginning', () => {
  let count = 0;
  for (const { reason, code, message, shortMessage } of everyMessage(library)) {
    count += 1;
    assert.match(message, /^Cannot [a-z].*\.$/, reason);
    assert.ok(message.startsWith(shortMessage) && shortMessage.endsWith('.'), `${reason} ${code}: ${message}`);
    assert.doesNotMatch(message, /undefined|\.\.|\s\s|\. [a-z]|: [A-Z]|, \./, `${reason} ${code}: ${message}`);
    assert.doesNotMatch(message, /\b(somebody|nobody|whoever|hand-over)/i, `${reason} ${code}: ${message}`);
  }
  assert.ok(count > 1000);
});

test('a front end that has no option for an advice → no message mentions it, and the sentences are whole', () => {
  const advice = Object.fromEntries(Object.keys(library.advice).map((name) => [name, undefined])) as unknown as Words;
  const without: FrontEnd = { advice, option: (name) => `<${name}>` };
  for (const { message } of everyMessage(without)) {
    assert.doesNotMatch(message, /[{}]|undefined|, or \.|\.\.|\s\s/, message);
    assert.match(message, /\.$/);
  }
});

test('a front end of other words → its words are in the messages, and none of the library’s', () => {
  const adviceNames = Object.keys(library.advice) as Advice[];
  const advice = Object.fromEntries(adviceNames.map((name) => [name, `use <${name}>`])) as Record<Advice, string>;
  const all = [...everyMessage({ advice, option: (name) => `<option ${name}>` })].map(({ message }) => message).join('\n');
  assert.doesNotMatch(all, /\{ /);
  for (const name of adviceNames) assert.ok(all.toLowerCase().includes(`use <${name.toLowerCase()}>`), name);
  assert.ok(all.includes('<option mode>'));
});

test('an address that waits for itself, or a client → it is not told to wait for the address, nor to take it over', () => {
  const said = (task: Task, standing: Facts['standing']): string =>
    messageOf({ task, address: 'app.sock', reason: 'held', facts: { ...facts, standing } }, library).message;
  assert.match(said('listen on', undefined), /wait for it with .* or take it over with /);
  assert.doesNotMatch(said('listen on', 'ourselves'), /wait|take it over/);
  assert.doesNotMatch(said('clean', undefined), /wait|take it over/);
});

/**
 * Code and reason where the source writes both: `refuse('held', 'EADDRINUSE', …)`,
 * `explainWrong(text, 'bad-option', 'EINVAL', …)`.
 */
const written = /\b(?:refuse\(|explainWrong\(\s*\w+,)[^;()]*?'([a-z-]+)',\s*'(E\w+)'/g;

test('each code and reason that the source writes → the row of the reason has the code', () => {
  const pairs = new Set<string>();
  for (const file of fs.readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))) {
    for (const [, reason = '', code = ''] of fs.readFileSync(`${root}src/${file}`, 'utf8').matchAll(written)) {
      pairs.add(`${code} ${reason}`);
      assert.ok(names.includes(reason as Reason), `src/${file}: ${reason}`);
      assert.ok(
        reason === 'system' || (reasons[reason as Reason].codes as readonly string[]).includes(code),
        `src/${file}: ${code} (${reason})`,
      );
    }
  }
  assert.ok(pairs.size >= 12, `only ${pairs.size} found: does the pattern above still match the source?`);
});
