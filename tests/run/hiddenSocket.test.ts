/**
 * The directories of the sockets of `run`: a start removes those that killed runs have left, and
 * nothing else.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { kernel } from '#dist/kernel/posix.js';
import { bindHidden, type HiddenSocket } from '#dist/run/hiddenSocket.js';
import { leaveStale } from '../cli/support.js';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';

/** Starts in this directory for temporary files. */
function bindIn(t: TestContext, directory: string): HiddenSocket {
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = directory;
  t.after(() => (before === undefined ? delete process.env['TMPDIR'] : (process.env['TMPDIR'] = before)));
  const hidden = bindHidden('run', (name) => {
    const fd = kernel.socket();
    assert.ok(typeof fd === 'number');
    const bound = kernel.bind(fd, name);
    if (bound !== 0) kernel.close(fd);
    return bound === 0 ? fd : bound;
  });
  assert.ok(typeof hidden !== 'string');
  t.after(() => kernel.close(hidden.fd));
  return hidden;
}

/** A directory as of a run, with a file in it, that is so old. */
function left(parent: string, name: string, fill?: (path: string) => unknown, ageMs = 0): string {
  const directory = `${parent}/reuseaddr-run-${name}`;
  fs.mkdirSync(directory);
  fill?.(`${directory}/socket`);
  const time = (Date.now() - ageMs) / 1000;
  fs.utimesSync(directory, time, time);
  return directory;
}

test('directories that killed runs have left → removed; what is in use, or another’s, stays', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const live = left(directory, 'live', undefined, 100_000);
  const server = net.createServer().listen(`${live}/socket`);
  t.after(() => server.close());
  await once(server, 'listening');
  const elsewhere = temporaryDirectory(t);
  leaveStale(`${elsewhere}/socket`);
  fs.symlinkSync(elsewhere, `${directory}/reuseaddr-run-link`);
  const stay = [
    live,
    `${directory}/reuseaddr-run-link`,
    left(directory, 'file', (path) => fs.writeFileSync(path, 'mine'), 100_000),
    left(directory, 'two', (path) => (leaveStale(path), fs.writeFileSync(`${path}.txt`, 'mine')), 100_000),
    // Another run may be about to bind there.
    left(directory, 'starting'),
  ];
  const go = [left(directory, 'dead', leaveStale), left(directory, 'empty', undefined, 100_000)];
  const hidden = bindIn(t, directory);
  assert.deepEqual(
    stay.filter((path) => !fs.existsSync(path)),
    [],
  );
  assert.deepEqual(
    go.filter((path) => fs.existsSync(path)),
    [],
  );
  assert.equal(fs.readFileSync(`${directory}/reuseaddr-run-file/socket`, 'utf8'), 'mine');
  assert.ok(fs.existsSync(`${directory}/reuseaddr-run-two/socket`) && fs.existsSync(`${elsewhere}/socket`));
  assert.ok(hidden.name.startsWith(`${directory}/reuseaddr-run-`));
  hidden.remove();
  assert.equal(fs.existsSync(hidden.name), false);
});

test('a directory of another user → it stays', asRoot, (t) => {
  const directory = temporaryDirectory(t);
  const other = left(directory, 'other', leaveStale);
  fs.chownSync(other, stranger.uid, stranger.gid);
  bindIn(t, directory).remove();
  assert.ok(fs.existsSync(`${other}/socket`));
});

test('no directory for it, or a path longer than sd_notify(3) can use → an abstract name, and nothing is left', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  const long = `${directory}/${'d'.repeat(60)}`;
  fs.mkdirSync(long);
  for (const parent of [`${directory}/none`, long]) {
    const descriptors = fs.readdirSync('/proc/self/fd').length;
    const hidden = bindIn(t, parent);
    assert.match(hidden.name, /^@reuseaddr\/run\/[\w-]+$/);
    assert.equal(fs.readdirSync('/proc/self/fd').length, descriptors + 1);
    hidden.remove();
  }
  assert.deepEqual(fs.readdirSync(long), []);
});
