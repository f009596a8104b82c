import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { getgrnam, getpwnam, getpwuid, kernel, peerGroups } from '#dist/kernel/posix.js';

/** No user, no group and no file has this name. */
const nobody = 'reuseaddr-no-such-name';

test('peer credentials: a connection to ourselves → our own pid, uid and gid, and our groups', async (t) => {
  const dir = fs.mkdtempSync(join(os.tmpdir(), 'ra-'));
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
  const fd = kernel.socket() as number;
  t.after(() => kernel.close(fd));
  assert.equal(kernel.bind(fd, `${dir}/socket`), 0);
  assert.equal(typeof kernel.peerCredentials(fd), 'string', 'nobody is at the other end yet');
  assert.equal(kernel.listen(fd, 1), 0);
  const client = net.connect(`${dir}/socket`);
  t.after(() => client.destroy());
  await once(client, 'connect');
  const { _handle: handle } = client as unknown as { _handle: { fd: number } };
  const connected = handle.fd;
  assert.deepEqual(kernel.peerCredentials(connected), { pid: process.pid, uid: process.geteuid!(), gid: process.getegid!() });

  const groups = peerGroups(connected);
  if (process.platform !== 'linux') return assert.equal(groups, 'ENOSYS');
  const own = /^Groups:(.*)$/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))![1]!.trim();
  assert.deepEqual(groups, own === '' ? [] : own.split(' ').map(Number));
});

test('peer credentials: no socket → ENOTSOCK; no descriptor → EBADF', () => {
  const fd = fs.openSync('/dev/null', 'r');
  assert.equal(kernel.peerCredentials(fd), 'ENOTSOCK');
  fs.closeSync(fd);
  assert.equal(kernel.peerCredentials(-1), 'EBADF');
});

test('users and groups: by name and by id; an unknown one → ENOENT', () => {
  assert.equal(getpwnam('root'), 0);
  assert.deepEqual(getpwuid(0), { name: 'root' });
  assert.equal(getgrnam(process.platform === 'linux' ? 'root' : 'wheel'), 0);
  assert.equal(getpwnam(nobody), 'ENOENT');
  assert.equal(getgrnam(nobody), 'ENOENT');
  assert.equal(getpwuid(2 ** 32 - 7), 'ENOENT');
  assert.equal(getpwnam('root\0'), 'ENOENT', 'a NUL must not make root of it');
  assert.equal(getpwnam('x'.repeat(5000)), 'ENOENT');
  assert.equal(getpwnam(''), 'ENOENT');
});
