import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { claim } from 'reuseaddr';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';
import { leaveStale, run, runOnTerminal } from './support.js';

test('an address in each state → the page says which, and only listening has status 0', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/listening`, { mode: 0o640, backlog: 7 });
  t.after(() => held.release());
  const abstract = await claim(`@reuseaddr-inspect-${process.pid}`);
  t.after(() => abstract.release());
  const other = net.createServer().listen(`${directory}/stray`);
  await once(other, 'listening');
  t.after(() => other.close());
  leaveStale(`${directory}/stale`);
  fs.writeFileSync(`${directory}/blocked`, '');
  for (const state of ['listening', 'stray', 'stale', 'blocked', 'free']) {
    const { status, stdout, stderr } = await run(['inspect', `${directory}/${state}`]);
    assert.deepEqual([status, stderr], [state === 'listening' ? 0 : 3, '']);
    assert.match(stdout, new RegExp(`^${directory}/${state}\n  state      ${state}: \\w`));
  }
  const { stdout } = await run(['inspect', held.address]);
  assert.match(stdout, new RegExp(`^  holder     process ${process.pid} \\(node .*, user .*\\) since \\d\\d:\\d\\d$`, 'm'));
  assert.match(stdout, /^ {2}waiting {4}0 of 7 connections$/m);
  assert.match(stdout, /^ {2}mode {7}0640$/m);
  assert.match((await run(['inspect', abstract.address])).stdout, /^@reuseaddr-inspect-\d+\n {2}state {6}listening:/);
});

test('--json → one object on one line; the inode a string, the mode octal, the date ISO 8601', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/app.sock`);
  t.after(() => held.release());
  const { stdout } = await run(['inspect', '--json', held.address]);
  assert.equal(stdout.split('\n').length, 2);
  const told = JSON.parse(stdout) as Record<string, unknown> & { holder: Record<string, unknown> };
  assert.deepEqual(
    [told['address'], told['state'], told['mode'], told['inode']],
    [held.address, 'listening', '0600', String(fs.statSync(held.address).ino)],
  );
  assert.equal(told.holder['pid'], process.pid);
  assert.match(String(told.holder['since']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test(
  'a terminal of 40 columns → a long line continues below where it began, and a word that is too long stays whole',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/${'long'.repeat(10)}.sock`;
    leaveStale(path);
    const lines = (await runOnTerminal(['inspect', path], 40, { TERM: 'dumb' })).trimEnd().split('\n');
    assert.ok(lines.includes(path));
    assert.deepEqual(
      lines.filter((line) => line.length > 40 && !line.includes(path)),
      [],
    );
    const state = lines.findIndex((line) => line.startsWith('  state      stale: a '));
    assert.match(lines[state + 1]!, /^ {13}\S/);
  },
);

test('--lock-path → that lock file is looked at', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/app.sock`, { lockPath: `${directory}/other.lock` });
  t.after(() => held.release());
  assert.match((await run(['inspect', held.address])).stdout, /state {6}stray/);
  assert.match((await run(['inspect', held.address, '--lock-path', `${directory}/other.lock`])).stdout, /state {6}listening/);
});

test('a long path → its holder is found too', onLinux, async (t) => {
  const directory = `${temporaryDirectory(t)}/${'d'.repeat(150)}`;
  fs.mkdirSync(directory);
  const other = await claim(`${directory}/app.sock`);
  t.after(() => other.release());
  assert.match(
    (await run(['inspect', other.address])).stdout,
    new RegExp(`holder {5}process ${process.pid} .*\n {2}waiting {4}0 of`),
  );
});

test('a directory that does not exist, or may not be looked into → the error, status 1', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o700);
  const none = await run(['inspect', `${directory}/none/app.sock`]);
  assert.deepEqual([none.status, none.stdout], [1, '']);
  assert.match(none.stderr, /^reuseaddr: Cannot inspect .*: there is no directory/);
  const denied = await run(['inspect', `${directory}/app.sock`], stranger);
  assert.notEqual(denied.status, 0);
});
