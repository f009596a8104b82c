import assert from 'node:assert/strict';
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { claim, connect, inspect } from 'reuseaddr';
import { listSockets } from '#dist/inspect/list.js';
import { parseTable, unixSockets } from '#dist/kernel/sockets.js';
import { snapshot, temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';
import { leaveStale, reuseaddr, run, runOnTerminal } from './support.js';
import { needs } from '../support/commands.js';

interface Row {
  readonly address: string;
  readonly state: string;
  readonly mode?: string;
  readonly waiting?: number;
  readonly backlog?: number;
  readonly inode?: string;
  readonly holder?: { readonly pid: number };
}

async function rows(...paths: readonly string[]): Promise<readonly Row[]> {
  const { stdout } = await run(['ls', '--json', ...paths]);
  return JSON.parse(stdout) as Row[];
}

/** A server of a program that does not take the lock. */
async function stray(t: Parameters<typeof temporaryDirectory>[0], path: string): Promise<net.Server> {
  const server = net.createServer((socket) => socket.destroy()).listen(path);
  await once(server, 'listening');
  t.after(() => server.close());
  return server;
}

test('sockets in every state → each is listed with its state, queue, mode and holder', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/held.sock`, { mode: 0o660, backlog: 3 });
  t.after(() => held.release());
  const client = await connect(held.address);
  t.after(() => client.destroy());
  fs.mkdirSync(`${directory}/below`);
  await stray(t, `${directory}/below/stray.sock`);
  leaveStale(`${directory}/stale.sock`);
  fs.writeFileSync(`${directory}/file`, '');
  fs.symlinkSync('held.sock', `${directory}/link.sock`);
  const own = { pid: process.pid };
  const told = (await rows(directory)).map(({ address, state, mode, waiting, backlog, holder }) => [
    address.slice(directory.length),
    state,
    mode,
    waiting,
    backlog,
    holder?.pid,
  ]);
  assert.deepEqual(told, [
    ['/below/stray.sock', 'stray', fs.statSync(`${directory}/below/stray.sock`).mode.toString(8).slice(-4), 0, 511, own.pid],
    ['/held.sock', 'listening', '0660', 1, 3, own.pid],
    ['/stale.sock', 'stale', fs.statSync(`${directory}/stale.sock`).mode.toString(8).slice(-4), undefined, undefined, undefined],
  ]);
  assert.deepEqual(
    (await rows('--state=stale,stray', directory)).map(({ state }) => state),
    ['stray', 'stale'],
  );
});

test('ls and inspect → they say the same of a socket', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/held.sock`);
  t.after(() => held.release());
  await stray(t, `${directory}/stray.sock`);
  leaveStale(`${directory}/stale.sock`);
  const { sockets } = listSockets([directory]);
  assert.equal(sockets.length, 3);
  for (const socket of sockets) {
    const { holder, ...rest } = await inspect(socket.address);
    const { holder: listed, ...others } = socket;
    assert.deepEqual(others, rest);
    assert.equal(listed?.pid, holder?.pid);
  }
});

test('no path → what processes have: abstract names too, and a socket whose file is gone as displaced', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const name = `@reuseaddr-ls-${process.pid}`;
  const held = await claim(name);
  t.after(() => held.release());
  await stray(t, `${directory}/gone.sock`);
  fs.renameSync(`${directory}/gone.sock`, `${directory}/aside`);
  await stray(t, `${directory}/replaced.sock`);
  fs.renameSync(`${directory}/replaced.sock`, `${directory}/aside2`);
  leaveStale(`${directory}/replaced.sock`);
  const found = new Map((await rows()).map((row) => [row.address, row]));
  assert.deepEqual([found.get(name)?.state, found.get(name)?.holder?.pid], ['listening', process.pid]);
  assert.deepEqual(
    [found.get(`${directory}/gone.sock`)?.state, found.get(`${directory}/gone.sock`)?.holder?.pid],
    ['displaced', process.pid],
  );
  assert.equal(found.get(`${directory}/replaced.sock`)?.state, 'displaced');
  assert.deepEqual(
    (await rows(name, `${name}-none`)).map(({ address }) => address),
    [name],
  );
});

test(
  'sockets that were bound by a relative path → with their file, where the program still works in that directory',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    fs.mkdirSync(`${directory}/elsewhere`);
    const script = (name: string, then: string): string =>
      `require('net').createServer().listen('${name}', () => { ${then}; process.send('') })`;
    const start = async (name: string, then = ''): Promise<void> => {
      const child = spawn(process.execPath, ['-e', script(name, then)], {
        cwd: directory,
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      t.after(() => child.kill('SIGKILL'));
      await once(child, 'message');
    };
    await start('here.sock');
    await start('left.sock', `process.chdir('elsewhere')`);
    const found = new Map((await rows()).map((row) => [row.address, row]));
    assert.equal(found.get(`${directory}/here.sock`)?.state, 'stray');
    assert.match(found.get(`${directory}/here.sock`)?.mode ?? '', /^0[0-7]{3}$/);
    assert.deepEqual([found.get('left.sock')?.state, found.get('left.sock')?.mode], ['stray', undefined]);
  },
);

test('a state that there is not → usage, status 2', async () => {
  const { status, stderr } = await run(['ls', '--state=stale,dead']);
  assert.equal(status, 2);
  assert.match(stderr, /There is no state 'dead', only listening, /);
});

test('a connection → not an address, and not listed next to its listener', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(path);
  t.after(() => held.release());
  const clients = await Promise.all([connect(path), connect(path)]);
  t.after(() => clients.forEach((client) => client.destroy()));
  assert.equal((await rows()).filter(({ address }) => address === path).length, 1);
});

test('names with newlines, escape codes and wide letters → they are printed escaped, and a row is a line', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const names = ['new\nline', '\u001b[31mred', 'c1\u009b31m', 'right\u202eleft', 'back\\slash', '名前-データ', 'tab\t'];
  for (const name of names) leaveStale(join(directory, name));
  const { stdout, status } = await run(['ls', directory]);
  assert.equal(status, 0);
  assert.equal(stdout.trimEnd().split('\n').length, 1 + names.length);
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  for (const shown of [
    String.raw`/new\nline `,
    String.raw`/\u001b[31mred `,
    String.raw`/c1\u{9b}31m `,
    String.raw`/right\u{202e}left `,
    String.raw`/back\\slash `,
    '/名前-データ ',
    String.raw`/tab\t `,
  ]) {
    assert.ok(stdout.includes(shown), shown);
  }
  assert.deepEqual(
    (await rows(directory)).map(({ address }) => address).sort(),
    names.map((name) => join(directory, name)).sort(),
  );
});

test('a name that is not UTF-8 → it is reported, and the others are listed', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  leaveStale(`${directory}/ok.sock`);
  leaveStale(`${directory}/x`);
  fs.renameSync(`${directory}/x`, Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0xfe])]));
  const { status, stdout, stderr } = await run(['ls', directory]);
  assert.equal(status, 1);
  assert.match(stdout, /ok\.sock/);
  assert.match(stderr, /^reuseaddr: .*: its name is not UTF-8$/m);
});

test('what can’t be listed → it is reported with the reason, the rest is listed, status 1', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  leaveStale(`${directory}/app.sock`);
  fs.writeFileSync(`${directory}/file`, '');
  fs.symlinkSync('loop', `${directory}/loop`);
  const { status, stdout, stderr } = await run([
    'ls',
    `${directory}/file`,
    `${directory}/none`,
    `${directory}/file/x`,
    `${directory}/loop`,
    `${directory}/app.sock`,
  ]);
  assert.equal(status, 1);
  assert.match(stdout, /app\.sock +stale/);
  assert.deepEqual(
    stderr
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(directory, '')),
    [
      'reuseaddr: /file: it is not a socket',
      'reuseaddr: /none: there is no such file',
      'reuseaddr: /file/x: a part of the path is not a directory',
      'reuseaddr: /loop: too many symbolic links',
    ],
  );
});

test('a directory that this user may not read → it is reported, status 1', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o755);
  fs.mkdirSync(`${directory}/secret`, { mode: 0o700 });
  leaveStale(`${directory}/app.sock`);
  fs.chmodSync(`${directory}/app.sock`, 0o777);
  const { status, stdout, stderr } = await run(['ls', directory], stranger);
  assert.deepEqual([status, stderr], [1, `reuseaddr: ${directory}/secret: permission denied\n`]);
  assert.match(stdout, /app\.sock +stale/);
});

test('on a terminal of 80 columns → no line is wider, and an address is never cut', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const long = `${directory}/${'a-long-name-'.repeat(6)}.sock`;
  for (const path of [long, `${directory}/app.sock`, `${directory}/名前.sock`]) await stray(t, path);
  const printed = await runOnTerminal(['ls', directory], 80, { TERM: 'dumb' });
  const lines = printed.trimEnd().split('\n');
  assert.ok(lines.includes(long));
  assert.deepEqual(
    lines.filter((line) => line.length > 80 && line !== long),
    [],
  );
  assert.match(printed, /^\S+app\.sock +stray +0\/511 +\d{4} +\S+ +\d+ node .*…$/m);
  assert.match(await runOnTerminal(['ls', temporaryDirectory(t)], 80, { TERM: 'dumb' }), /^No sockets\./);
});

test('a directory with 100,000 entries → its sockets are listed', onLinux, async (t) => {
  // In memory: a disk takes its time for so many.
  const directory = fs.mkdtempSync('/dev/shm/ra-');
  t.after(() => fs.rmSync(directory, { recursive: true }));
  for (let number = 0; number < 100_000; number++) fs.closeSync(fs.openSync(`${directory}/${number}`, 'w'));
  leaveStale(`${directory}/app.sock`);
  const start = performance.now();
  assert.deepEqual(
    (await rows(directory)).map(({ address }) => address),
    [`${directory}/app.sock`],
  );
  t.diagnostic(`ls below 100,000 entries: ${Math.round(performance.now() - start)} ms, start of node included`);
});

test('10,000 sockets → all are listed, and none has seen a connection', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const fixture = fileURLToPath(new URL('../../../tests/cli/fixtures/many-sockets.mjs', import.meta.url));
  // Spread over processes, because not everywhere one may have 12,000 descriptors.
  const servers = [1, 2, 3, 4].map((number) => fork(fixture, [directory, `${number}-`, '2500', '500']));
  t.after(() => servers.forEach((server) => server.kill('SIGKILL')));
  await Promise.all(servers.map((server) => once(server, 'message')));
  const start = performance.now();
  const listed = await rows(directory);
  t.diagnostic(`ls of 10,000 sockets: ${Math.round(performance.now() - start)} ms, start of node included`);
  assert.equal(listed.length, 10_000);
  assert.equal(listed.filter(({ state }) => state === 'listening').length, 2_000);
  assert.equal(listed.filter(({ state }) => state === 'stray').length, 8_000);
  const pids = new Set(servers.map(({ pid }) => pid));
  assert.deepEqual(
    listed.filter(({ holder }) => !pids.has(holder?.pid)),
    [],
  );
  // No process accepts, so a connection, even one that was closed again, would still wait.
  const all = unixSockets();
  assert.ok(typeof all !== 'string');
  const ours = all.filter(({ name }) => name?.startsWith(`${directory}/`));
  assert.equal(ours.length, 10_000);
  assert.deepEqual(
    ours.filter(({ waiting }) => waiting !== 0),
    [],
  );
});

test('a kernel without unix_diag → /proc/net/unix tells names, inodes and which sockets listen', () => {
  const table = `Num       RefCount Protocol Flags    Type St Inode Path
ffff8a3b4c5d6e00: 00000002 00000000 00010000 0001 01 12345 /run/app.sock
0000000000000000: 00000003 00000000 00000000 0001 03 12346 /run/app.sock
0000000000000000: 00000002 00000000 00000000 0002 01 12347 @log with spaces
0000000000000000: 00000003 00000000 00000000 0001 03 12348
`;
  const told = parseTable(table).map(({ type, state, inode, name }) => [type, state, inode, name]);
  assert.deepEqual(told, [
    ['stream', 'listening', 12345, '/run/app.sock'],
    ['stream', 'connected', 12346, '/run/app.sock'],
    ['datagram', 'other', 12347, '@log with spaces'],
    ['stream', 'connected', 12348, undefined],
  ]);
});

test('ls → it changes nothing on disk, and takes no lock', { skip: onLinux.skip || needs('strace').skip }, async (t) => {
  const directory = temporaryDirectory(t);
  leaveStale(`${directory}/stale.sock`);
  await stray(t, `${directory}/stray.sock`);
  const held = await claim(`${directory}/held.sock`);
  t.after(() => held.release());
  const before = snapshot(directory);
  const traced = spawn(
    'strace',
    [
      '-f',
      '-qq',
      '-e',
      'trace=flock,unlink,rename,renameat2,accept4',
      '-o',
      `${directory}.trace`,
      process.execPath,
      reuseaddr,
      'ls',
      directory,
    ],
    { stdio: 'ignore' },
  );
  t.after(() => fs.rmSync(`${directory}.trace`, { force: true }));
  await once(traced, 'close');
  assert.equal(fs.readFileSync(`${directory}.trace`, 'utf8').replaceAll(/^.*(---|\+\+\+).*\n/gm, ''), '');
  assert.deepEqual(snapshot(directory), before);
});
