import assert from 'node:assert/strict';
import { spawnSync, type StdioOptions } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { claim } from 'reuseaddr';
import { socketTypes, type SocketType } from '#dist/address/socketType.js';
import { fcntl } from '#dist/kernel/descriptors.js';
import { kernel } from '#dist/kernel/posix.js';
import { abstractName } from '../support/abstract.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { fixtureBeside } from '../support/program.js';

interface Report {
  readonly fd?: number;
  readonly lockPath?: string;
  readonly nonBlocking?: boolean;
  readonly closeOnExec?: boolean;
  readonly error?: string;
  readonly variables: readonly string[];
}

/**
 * The report of a program that claims the address with this type, and to which these descriptors
 * were passed: sd_listen_fds(3).
 */
function reportOf(address: string, fds: readonly number[], type: SocketType): Report {
  const announce = `LISTEN_PID=$$; export LISTEN_PID; LISTEN_FDS=${fds.length}; export LISTEN_FDS; exec "$@"`;
  const program = [process.execPath, fixtureBeside(import.meta.url, 'child.mjs'), address, JSON.stringify({ type }), 'claim'];
  const stdio: StdioOptions = ['ignore', 'pipe', 'inherit', ...fds];
  const { stdout } = spawnSync('sh', ['-c', announce, 'sh', ...program], { stdio, encoding: 'utf8' });
  return JSON.parse(stdout) as Report;
}

for (const type of socketTypes)
  test(`a ${type} socket is passed → a claim of that type uses it, and a claim of another says so`, onLinux, async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const { fd, release } = await claim(address, { type }).then((held) => ({ fd: held.fd, release: () => held.release() }));
    t.after(release);
    for (const asked of socketTypes) {
      assert.equal(fcntl(fd, 'F_SETFL', ''), 0);
      const { fd: used, lockPath, nonBlocking, closeOnExec, error, variables } = reportOf(address, [fd], asked);
      assert.deepEqual(variables, []);
      if (asked === type)
        assert.deepEqual([used, lockPath, nonBlocking, closeOnExec, error], [3, undefined, true, true, undefined]);
      else assert.deepEqual([used, error], [undefined, 'other-type']);
    }
  });

test('sockets of several types with one abstract name are passed → each claim uses that of its type', onLinux, async (t) => {
  const { address } = abstractName();
  const held = await Promise.all(socketTypes.map((type) => claim(address, { type })));
  t.after(() => Promise.all(held.map((each) => each.release())));
  const fds = held.map(({ fd }) => fd);
  for (const [index, type] of socketTypes.entries()) assert.equal(reportOf(address, fds, type).fd, 3 + index);
  // Those that are left are no obstacle: another type is another address.
  assert.equal(reportOf(address, fds.slice(0, 1), 'seqpacket').error, 'held');
});

test(
  'a datagram socket without a name, and a seqpacket socket that does not listen → they are not used, and still block',
  onLinux,
  (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const sockets = [kernel.socket('datagram') as number, kernel.socket('seqpacket') as number] as const;
    t.after(() => sockets.map((fd) => kernel.close(fd)));
    for (const fd of sockets) assert.equal(fcntl(fd, 'F_SETFL', ''), 0);
    kernel.bind(sockets[1], path);
    assert.equal(reportOf(path, sockets, 'seqpacket').error, 'stray');
    // Every process that shares the socket shares this flag.
    for (const fd of sockets)
      assert.doesNotMatch(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'), /^flags:\s*\d*[4-7]\d{3}$/m, 'O_NONBLOCK');
  },
);

test('a second thread looks at a passed socket → the flags that the program has set by then stay', onLinux, async (t) => {
  const held = await claim(`${temporaryDirectory(t)}/app.sock`);
  t.after(() => held.release());
  const stdio: StdioOptions = ['ignore', 'pipe', 'inherit', held.fd];
  const { stdout } = spawnSync(process.execPath, [fixtureBeside(import.meta.url, 'flags.mjs')], { stdio, encoding: 'utf8' });
  assert.deepEqual(JSON.parse(stdout), [
    [true, true],
    [false, false],
  ]);
});
