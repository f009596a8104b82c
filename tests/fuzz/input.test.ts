/**
 * Text from outside: the holder's record, addresses, LISTEN_* variables, bytes on the handover
 * socket.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as fc from 'fast-check';
import fs from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { byteLength, parseAddress } from '#dist/address/address.js';
import { formatRecord, isRecord, parseRecord, recordBytesMax } from '#dist/claim/record.js';
import { explain } from '#dist/errors/explain.js';
import { show } from '#dist/errors/show.js';
import { parse, receiveNow } from '#dist/handover/message.js';
import { failed, run } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { readEnvironment } from '#dist/server/inherit.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { connectedPair } from '../support/sockets.js';
import { anyText, check, unprintable } from './property.js';

const number = fc.oneof(
  fc.nat(70_000),
  fc.maxSafeNat(),
  fc.double(),
  fc.integer(),
  fc.constantFrom(2 ** 32, 2 ** 31, -1, 8.64e15, 8.65e15),
);
const value = fc.oneof({ weight: 4, arbitrary: number }, { weight: 2, arbitrary: anyText }, fc.jsonValue({ maxDepth: 2 }));
const field = (usual: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 5, arbitrary: usual }, { weight: 1, arbitrary: value });
const fields = fc.record(
  {
    pid: field(fc.nat(0x7fff_ffff)),
    uid: field(fc.nat(0xffff_ffff)),
    command: field(anyText),
    sinceMs: field(fc.nat(2 ** 41)),
    startTicks: field(fc.nat()),
    pidNamespace: field(anyText),
    host: field(anyText),
    ['__proto__']: value,
    constructor: value,
  },
  { requiredKeys: ['pid', 'uid', 'command', 'sinceMs'] },
);
const record = fc.oneof(
  { weight: 5, arbitrary: fields.map((object) => `{"reuseaddr":1,${JSON.stringify(object).slice(1)}\n`) },
  // Torn, or with something of another in the middle.
  {
    weight: 2,
    arbitrary: fc
      .tuple(fields, fc.nat(400), anyText)
      .map(([object, at, more]) => `{"reuseaddr":1,${JSON.stringify(object).slice(1)}\n`.slice(0, at) + more),
  },
  { weight: 1, arbitrary: anyText.map((text) => `{"reuseaddr":1,${text}\n`) },
  { weight: 1, arbitrary: anyText },
);

test('20,000 records of a holder → none is believed that is not one, and all that is shown of them is printable and short', (t) => {
  let believed = 0;
  check(t, 20_000, record, (text) => {
    const parsed = parseRecord(text.slice(0, recordBytesMax));
    const refusal = {
      refused: 'held',
      errno: 'EADDRINUSE',
      syscall: 'flock',
      path: '/run/app.sock.lock',
      record: text.slice(0, recordBytesMax),
    } as const;
    const { message, holder: told } = explain('/run/app.sock', refusal);
    assert.doesNotMatch(message, unprintable);
    assert.ok(message.length < 900);
    if (parsed === undefined) return assert.equal(told, undefined);
    believed++;
    assert.ok(isRecord(text));
    assert.ok(Number.isInteger(parsed.pid) && parsed.pid > 0 && parsed.pid < 2 ** 31 && parsed.uid >= 0 && parsed.uid < 2 ** 32);
    assert.ok(!Number.isNaN(new Date(parsed.sinceMs).getTime()));
    for (const shown of [parsed.command, parsed.host ?? '', parsed.pidNamespace ?? '']) {
      assert.doesNotMatch(shown, unprintable);
      assert.ok(shown.length <= 300);
    }
    assert.equal(Object.getPrototypeOf(parsed), Object.prototype);
    const prefix = '{"reuseaddr":1,';
    assert.ok(text.startsWith(prefix) && text.includes('\n'));
    // Our own records are read as they were written.
    assert.deepEqual(parseRecord(formatRecord(parsed)), parsed);
  });
  t.diagnostic(`${believed} were records`);
  assert.ok(believed > 2000);
  assert.equal(({} as { pid?: number }).pid, undefined);
});

const part = fc.oneof(anyText, fc.constantFrom('app.sock', '..', '.', 'run', ''));
const address = fc.oneof(
  anyText,
  anyText.map((name) => `@${name}`),
  anyText.map((name) => `\0${name}`),
  fc.array(part, { maxLength: 5 }).map((parts) => `/${parts.join('/')}`),
  fc.string({ minLength: 100, maxLength: 120 }).map((name) => `@${name}`),
  fc.constantFrom('\\\\.\\pipe\\', '\\\\?\\pipe\\app', '//./pipe/x', '\\\\.\\PIPE\\x', ''),
);

test('15,000 addresses → each is a pathname, an abstract name or a pipe that the kernel can be given as it is, or is refused', (t) => {
  const kinds: Record<string, number> = {};
  const platform = fc.constantFrom('linux', 'linux', 'darwin', 'win32');
  check(t, 15_000, fc.tuple(address, platform, fc.option(address, { nil: undefined, freq: 4 })), ([text, system, lockPath]) => {
    const parsed = parseAddress(text, lockPath, system);
    const kind = 'bad' in parsed ? `bad: ${parsed.bad}` : parsed.kind;
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    assert.doesNotMatch(show(text), unprintable);
    if ('bad' in parsed) return;
    if (parsed.kind === 'pipe') return assert.ok(system === 'win32' && parsed.path === text);
    if (parsed.kind === 'abstract') {
      assert.ok(system === 'linux' && lockPath === undefined && /^[@\0]/.test(text));
      return assert.ok(text.slice(1) === parsed.name && byteLength(parsed.name) >= 1 && byteLength(parsed.name) <= 107);
    }
    assert.deepEqual([parsed.path, parsed.lockPath], [text, lockPath]);
    for (const path of lockPath === undefined ? [text] : [text, lockPath]) {
      assert.doesNotMatch(path, /\0|^$|(^|\/)\.{0,2}$/);
    }
    assert.doesNotMatch(text, /^[@\0]/);
  });
  t.diagnostic(JSON.stringify(kinds));
});

test('10,000 environments → LISTEN_* is believed only if it is for this process, and only listening Unix sockets are taken', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const servers = [net.createServer().listen(path), net.createServer().listen(0, '127.0.0.1')];
  await Promise.all(servers.map((server) => once(server, 'listening')));
  t.after(() => servers.forEach((server) => server.close()));
  const [unixFd, tcpFd] = servers.map((server) => (server as unknown as { _handle: { fd: number } })._handle.fd) as [
    number,
    number,
  ];
  // Bound, and not listening.
  const bound = kernel.socket();
  assert.ok(!failed(bound));
  assert.equal(kernel.bind(bound, `${path}.bound`), 0);
  t.after(() => kernel.close(bound));
  const count = fc.oneof(
    fc.nat(40).map(String),
    fc.nat(3000).map(String),
    anyText,
    fc.constantFrom('-1', '1e3', ' 5', '5 ', '0x10', '٣', '00009', '99999999999999999999', undefined),
  );
  const pid = fc.oneof(
    { weight: 3, arbitrary: fc.constant(String(process.pid)) },
    anyText,
    fc.nat().map(String),
    fc.constantFrom(undefined, ` ${process.pid}`, `0${process.pid}`, `${process.pid}\n`, `+${process.pid}`),
  );
  const before = openDescriptors();
  let taken = 0;
  check(
    t,
    10_000,
    fc.record({ LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: fc.option(anyText, { nil: undefined }) }),
    (given) => {
      const environment: NodeJS.ProcessEnv = { ...given, OTHER: 'stays' };
      const found = readEnvironment(environment);
      const forUs =
        given.LISTEN_PID === String(process.pid) &&
        given.LISTEN_FDS !== undefined &&
        /^[0-9]{1,4}$/.test(given.LISTEN_FDS) &&
        Number(given.LISTEN_FDS) <= 1024;
      const inRange = (fd: number): boolean => fd >= 3 && fd < 3 + Number(given.LISTEN_FDS);
      assert.deepEqual(found, forUs && inRange(unixFd) ? [{ fd: unixFd, name: path, type: 'stream' }] : []);
      assert.ok(found.every(({ fd }) => fd !== tcpFd && fd !== bound));
      assert.deepEqual(environment, forUs ? { OTHER: 'stays' } : { ...given, OTHER: 'stays' });
      taken += found.length;
    },
  );
  assert.equal(openDescriptors(), before);
  t.diagnostic(`${taken} times the socket was taken`);
  assert.ok(taken > 500);
});

test('5,000 messages with descriptors over a real socket → none is taken for another, and no descriptor is left open', async (t) => {
  const { client, server } = await connectedPair(t);
  const word = fc.constantFrom('request', 'offer 1 7', 'ready', 'done', 'abort').map((rest) => `reuseaddr 1 ${rest}\n`);
  const line = fc.oneof(
    word,
    fc.tuple(word, fc.nat(20), anyText).map(([text, at, more]) => text.slice(0, at) + more),
    anyText,
  );
  const devNull = fs.openSync('/dev/null', 'r');
  t.after(() => fs.closeSync(devNull));
  const before = openDescriptors();
  const kinds: Record<string, number> = {};
  check(t, 5000, fc.tuple(line, fc.nat(6)), ([text, fds]) => {
    const bytes = kernel.sendmsg(client, text, Array<number>(fds).fill(devNull));
    if (text !== '') assert.equal(typeof bytes, 'number');
    for (let reads = 0; ; reads++) {
      assert.ok(reads < 40);
      const received = run(kernel, receiveNow(server));
      const kind = typeof received === 'string' ? received : received.message.kind;
      kinds[kind] = (kinds[kind] ?? 0) + 1;
      if (received === 'EAGAIN' || received === 'closed') break;
      if (typeof received === 'string') continue;
      for (const fd of received.fds) assert.equal(kernel.close(fd), 0);
      assert.ok(received.fds.length <= 3 && (reads > 0 || received.fds.length === fds));
      if (reads === 0) assert.deepEqual(parse(text.slice(0, -1)), received.message);
    }
    assert.equal(openDescriptors(), before);
  });
  t.diagnostic(JSON.stringify(kinds));
});
