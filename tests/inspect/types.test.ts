import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { claim, inspect } from 'reuseaddr';
import { socketTypes, type SocketType } from '#dist/address/socketType.js';
import { kernel } from '#dist/kernel/posix.js';
import { run, runOnTerminal } from '../cli/support.js';
import { abstractName } from '../support/abstract.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

interface Row {
  readonly address: string;
  readonly state: string;
  readonly type?: string;
  readonly holder?: { readonly pid: number };
}

/** A socket that was bound and closed. */
function leaveStale(path: string, type: SocketType): void {
  const fd = kernel.socket(type) as number;
  assert.equal(kernel.bind(fd, path), 0);
  kernel.close(fd);
}

test(
  'a socket of each type in each state → ls and inspect say state and type, and clean removes the dead ones alone',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    for (const type of socketTypes) {
      const held = await claim(`${directory}/held-${type}`, { type });
      t.after(() => held.release());
      const stray = kernel.socket(type) as number;
      t.after(() => kernel.close(stray));
      kernel.bind(stray, `${directory}/stray-${type}`);
      leaveStale(`${directory}/stale-${type}`, type);
    }
    const rows = JSON.parse((await run(['ls', '--json', directory])).stdout) as readonly Row[];
    const seen = rows.map(({ address, state, type, holder }) => [address.slice(directory.length + 1), state, type, holder?.pid]);
    const expected = ['held', 'stale', 'stray'].flatMap((what) =>
      ['datagram', 'seqpacket', 'stream'].map((type) =>
        what === 'stale'
          ? [`${what}-${type}`, 'stale', undefined, undefined]
          : [`${what}-${type}`, what === 'held' ? 'listening' : 'stray', type, process.pid],
      ),
    );
    assert.deepEqual(seen, expected);
    for (const [name, state, type] of seen) {
      const found = await inspect(`${directory}/${name}`);
      assert.deepEqual([found.state, found.type], [state, type]);
    }
    const { stdout } = await run(['clean', directory]);
    assert.deepEqual(
      stdout.trim().split('\n').toSorted(),
      ['datagram', 'seqpacket', 'stream'].map((type) => `removed ${directory}/stale-${type}`),
    );
    assert.deepEqual(
      fs.readdirSync(directory).filter((name) => !name.endsWith('.lock')),
      seen.flatMap(([name, state]) => (state === 'stale' ? [] : [name])),
    );
  },
);

test('the table of ls → it has a column for the type if a socket is not a stream', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const stream = await claim(`${directory}/a`);
  t.after(() => stream.release());
  assert.doesNotMatch(await runOnTerminal(['ls', directory], 120), /TYPE/);
  const other = await claim(`${directory}/b`, { type: 'datagram' });
  t.after(() => other.release());
  const [header, a, b] = stripVTControlCharacters(await runOnTerminal(['ls', directory], 120)).split('\n');
  assert.match(header ?? '', /^ADDRESS +STATE +TYPE +QUEUE/);
  assert.match(a ?? '', / listening +stream +0\//);
  assert.match(b ?? '', / listening +datagram +- /);
});

test('one abstract name in use for several types → ls lists each, and inspect tells them apart', onLinux, async (t) => {
  const { address } = abstractName();
  const [stream, datagram] = [await claim(address), await claim(address, { type: 'datagram' })];
  t.after(async () => [await stream.release(), await datagram.release()]);
  const ofName = (listed: string): readonly string[] =>
    (JSON.parse(listed) as readonly Row[])
      .filter((row) => row.address === address)
      .map(({ type }) => String(type))
      .toSorted();
  assert.deepEqual(ofName((await run(['ls', '--json', address])).stdout), ['datagram', 'stream']);
  assert.deepEqual(ofName((await run(['ls', '--json'])).stdout), ['datagram', 'stream']);
  for (const [type, state] of [
    ['stream', 'listening'],
    ['datagram', 'listening'],
    ['seqpacket', 'free'],
  ] as const) {
    assert.equal((await inspect(address, { type })).state, state);
    const { stdout, status } = await run(['inspect', '--json', `--type=${type}`, address]);
    assert.deepEqual([(JSON.parse(stdout) as Row).state, status], [state, state === 'free' ? 3 : 0]);
  }
});

test('inspect with a type that is wrong, or at a path → an error', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  await assert.rejects(inspect(path, { type: 'datagram' }), { code: 'EINVAL', message: /type is for abstract names/ });
  await assert.rejects(inspect('@name', { type: 'dgram' as 'datagram' }), { code: 'EINVAL' });
  assert.equal((await run(['inspect', '--type=dgram', '@name'])).status, 2);
});

test('the socket file of a datagram holder was removed → inspect and a start say that it is displaced', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(address, { type: 'datagram' });
  t.after(() => held.release());
  const displaced = new Promise((resolve) => held.on('displaced', resolve));
  fs.unlinkSync(address);
  assert.equal(await displaced, 'socket');
  const { state, reason } = await inspect(address);
  assert.deepEqual([state, reason], ['starting', 'displaced']);
  await assert.rejects(claim(address, { type: 'datagram' }), { code: 'EADDRINUSE', reason: 'displaced' });
});
