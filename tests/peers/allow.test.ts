import assert from 'node:assert/strict';
import diagnostics from 'node:diagnostics_channel';
import http from 'node:http';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { claim, listen, type AllowRule, type Claim, type Credentials, type SocketAddressError } from 'reuseaddr';
import { kinds } from '../server/kinds.js';
import { abstractName } from '../support/abstract.js';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot, secondStranger, stranger, withNamespaces, withUserNamespaces } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { until } from '../support/waits.js';
import { asUser, nobody, visit, type User } from './clients.js';

const self = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };

/** A server that greets each client that this rule admits, and the events of the claim. */
async function greeter(t: TestContext, allow: AllowRule | undefined, address = `${temporaryDirectory(t, 0o755)}/app.sock`) {
  const server = net.createServer((connection) => connection.end('in'));
  const mode = address.startsWith('@') ? {} : { mode: 0o666 };
  const held = await listen(server, address, { ...mode, allow });
  const refused: (Credentials | undefined)[] = [];
  held.on('denied', (peer) => refused.push(peer));
  t.after(() => held.release());
  return { address, held, server, refused };
}

/** Connects, begins whatever may be a request, a handshake or a session, and waits for the end. */
async function knock(path: string, said = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'): Promise<void> {
  const client = net.connect(path).on('error', () => undefined); // EPIPE or ECONNRESET.
  client.write(said);
  await closing(client.resume());
}

const closing = (emitter: net.Socket | net.Server): Promise<void> =>
  new Promise((resolve) => emitter.once('close', () => resolve()));

/** Returns the text that a connection of our own reads: `in`, or nothing. */
async function heard(path: string): Promise<string> {
  const client = net.connect(path.replace(/^@/, '\0'));
  let text = '';
  client.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  client.on('error', () => undefined); // ECONNRESET, where it was refused with something unread.
  await closing(client);
  return text;
}

/** A promise that is not Node's own, as some libraries have. */
function thenable(said: boolean): Promise<boolean> {
  const { then } = { then: (done: (said: boolean) => void): void => done(said) }; // oxlint-disable-line unicorn/no-thenable
  return Object.assign(Object.create(null) as object, { then }) as Promise<boolean>; // oxlint-disable-line unicorn/no-thenable
}

const rules: readonly (readonly [name: string, rule: AllowRule, outcome: 'in' | ''])[] = [
  ['our uid', { uid: [self.uid] }, 'in'],
  ['our uid among others', { uid: [nobody.uid, self.uid] }, 'in'],
  ['another uid', { uid: [stranger.uid] }, ''],
  ['our gid', { gid: [self.gid] }, 'in'],
  ['another gid', { gid: [stranger.gid] }, ''],
  ['another uid, but our gid', { uid: [stranger.uid], gid: [self.gid] }, 'in'],
  ['nobody: {}', {}, ''],
  ['nobody: empty lists', { uid: [], gid: [] }, ''],
  ['a function that says true', () => true, 'in'],
  ['a function that says false', () => false, ''],
  ['a function that says 1', () => 1 as unknown as boolean, ''],
  ['a function that says nothing', (() => undefined) as unknown as AllowRule, ''],
  ['a function that looks at the uid', ({ uid }) => uid === self.uid, 'in'],
  ['an asynchronous one that says true', async () => true, 'in'],
  ['an asynchronous one that says false', async () => false, ''],
  ['an asynchronous one that says "true"', async () => 'true' as unknown as boolean, ''],
  ['one that says true after a while', () => new Promise((resolve) => setImmediate(resolve, true)), 'in'],
  ['a thenable that says true', () => thenable(true), 'in'],
  ['a thenable that says false', () => thenable(false), ''],
  ['one that throws', () => assert.fail('from the rule'), ''],
  [
    'one that throws nothing',
    () => {
      throw undefined; // oxlint-disable-line typescript/only-throw-error -- a rule may.
    },
    '',
  ],
  ['one that is rejected', () => Promise.reject(new Error('from the rule')), ''],
];

for (const [name, rule, outcome] of rules) {
  test(`allow ${name} → ${outcome === 'in' ? 'let in' : 'refused, counted, reported'}`, async (t) => {
    const { address, held, refused } = await greeter(t, rule);
    for (let i = 0; i < 3; i++) assert.equal(await heard(address), outcome);
    const times = outcome === 'in' ? 0 : 3;
    assert.deepEqual([held.deniedCount, refused.map((peer) => peer?.pid)], [times, Array(times).fill(process.pid)]);
  });
}

test('names of users and groups → their ids, looked up at the start; unknown ones and other mistakes → refused before anything is made', async (t) => {
  const directory = temporaryDirectory(t);
  if (self.uid === 0) {
    const { address } = await greeter(t, { uid: ['root'] });
    assert.equal(await heard(address), 'in');
    assert.equal(await heard((await greeter(t, { gid: ['root'] })).address), 'in');
  }
  for (const [rule, reason] of [
    [{ uid: ['no-such-user-here'] }, 'unknown-user'],
    [{ gid: ['no-such-group-here'] }, 'unknown-group'],
    [{ uid: ['0'] }, 'unknown-user'],
    [{ uid: [-1] }, 'bad-option'],
    [{ uid: [0.5] }, 'bad-option'],
    [{ uid: [Number.NaN] }, 'bad-option'],
    [{ uid: 0 }, 'bad-option'],
    [{ uid: [null] }, 'bad-option'],
    [{ gid: [{}] }, 'bad-option'],
    [{ user: [0] }, 'bad-option'],
    [null, 'bad-option'],
    ['root', 'bad-option'],
    [true, 'bad-option'],
    [[0], 'bad-option'],
  ] as const) {
    const listening = listen(net.createServer(), `${directory}/app.sock`, { allow: rule as unknown as AllowRule });
    await assert.rejects(
      listening,
      (error: SocketAddressError) => error.reason === reason && error.code === 'EINVAL',
      JSON.stringify(rule),
    );
  }
  await assert.rejects(claim(`${directory}/app.sock`, { allow: {} }), { reason: 'bad-option' });
  const { readdirSync } = await import('node:fs');
  assert.deepEqual(readdirSync(directory), []);
});

/** Everything of Node's that could tell a program of a connection. */
const channels = ['net.server.socket', 'http.server.request.start', 'http2.server.stream.start', 'http2.server.stream.created'];

for (const [name, kind] of Object.entries(kinds)) {
  for (const late of [false, true]) {
    test(`${name}: a peer that ${late ? 'an asynchronous' : 'the'} rule refuses → no event, no diagnostics channel, no connection counted; one that it lets in is served`, async (t) => {
      const seen: string[] = [];
      const hear = (_: unknown, channel: string | symbol): void => void seen.push(String(channel));
      for (const channel of channels) diagnostics.subscribe(channel, hear);
      t.after(() => channels.forEach((channel) => diagnostics.unsubscribe(channel, hear)));
      let letsIn = false;
      const server = kind.create('hello');
      const path = `${temporaryDirectory(t)}/app.sock`;
      const allow = late
        ? (): Promise<boolean> => new Promise((resolve) => setImmediate(() => resolve(letsIn)))
        : (): boolean => letsIn;
      const held = await listen(server, path, { allow });
      t.after(() => held.release());
      const emit = server.emit as (...args: unknown[]) => boolean;
      server.emit = function (this: net.Server, ...args: unknown[]) {
        seen.push(String(args[0]));
        return emit.apply(this, args);
      } as typeof server.emit;
      for (let i = 0; i < 3; i++) await knock(path);
      // With a rule that is late, a peer that has gone is not judged in the same turn.
      await until(() => held.deniedCount >= 3);
      assert.deepEqual(seen, []);
      assert.equal(held.deniedCount, 3);
      const count = new Promise((resolve) => server.getConnections((_error, connections) => resolve(connections)));
      assert.equal(await count, 0);
      letsIn = true;
      assert.equal(await kind.request(path), 'hello');
      assert.notEqual(seen.length, 0, 'the same watches see who is let in');
    });
  }
}

test('a server is closed while an asynchronous rule decides → an accepted peer is served, and `close` comes after', async (t) => {
  let decide: (verdict: boolean) => void = () => undefined;
  const { address, server, held } = await greeter(t, () => new Promise((resolve) => (decide = resolve)));
  for (const verdict of [true, false]) {
    const events: string[] = [];
    const client = net.connect(address);
    client.on('error', () => undefined);
    client.setEncoding('utf8').on('data', (text: string) => events.push(`client hears ${text}`));
    const asked = decide;
    await until(() => decide !== asked);
    const closed = closing(server).then(() => events.push('server closed'));
    server.close();
    assert.deepEqual(await new Promise((resolve) => server.getConnections((_error, count) => resolve(count))), 1);
    const clientClosed = closing(client);
    decide(verdict);
    await clientClosed;
    await closed;
    assert.deepEqual(events.sort(), verdict ? ['client hears in', 'server closed'] : ['server closed']);
    assert.equal(held.deniedCount, 0);
    if (!verdict) break;
    const again = await listen(server, address, { allow: () => new Promise((resolve) => (decide = resolve)) });
    t.after(() => again.release());
  }
});

test('a listener of the program throws for a peer that an asynchronous rule let in → an uncaught exception, as without a rule', async (t) => {
  const server = net.createServer(() => assert.fail('from the program'));
  const path = `${temporaryDirectory(t)}/app.sock`;
  const held = await listen(server, path, { allow: async () => true });
  const caught = new Promise<Error>((resolve) => {
    process.once('uncaughtException', resolve);
  });
  const listeners = process.listeners('uncaughtException').slice(0, -1);
  for (const listener of listeners) process.off('uncaughtException', listener);
  t.after(() => listeners.forEach((listener) => process.on('uncaughtException', listener)));
  const client = net.connect(path).on('error', () => undefined);
  assert.match((await caught).message, /from the program/);
  client.destroy();
  await held.release();
});

interface Case {
  readonly rule: AllowRule;
  readonly user: User;
  readonly outcome: 'in' | '';
}

const cases: Readonly<Record<string, Case>> = {
  'its uid': { rule: { uid: [stranger.uid] }, user: stranger, outcome: 'in' },
  'another uid': { rule: { uid: [secondStranger.uid, 0] }, user: stranger, outcome: '' },
  'its gid': { rule: { gid: [stranger.gid] }, user: stranger, outcome: 'in' },
  'a supplementary group of it': { rule: { gid: [80_001] }, user: { ...stranger, groups: [80_000, 80_001] }, outcome: 'in' },
  'a group that it is not in': { rule: { gid: [80_002] }, user: { ...stranger, groups: [80_000, 80_001] }, outcome: '' },
  'a uid whose number is a group of it': { rule: { uid: [80_001] }, user: { ...stranger, groups: [80_001] }, outcome: '' },
  'root, and it is nobody': { rule: { uid: [0] }, user: nobody, outcome: '' },
};

test(
  'clients of other users, with and without supplementary groups → let in or refused by the kernel’s word',
  asRoot,
  async (t) => {
    for (const [name, { rule, user, outcome }] of Object.entries(cases)) {
      const { address, held, refused } = await greeter(t, rule);
      assert.equal(await visit(address, asUser(user)), outcome, name);
      assert.deepEqual([held.deniedCount, ...refused.map((peer) => peer?.uid)], outcome === 'in' ? [0] : [1, user.uid], name);
    }
    t.diagnostic(`${Object.keys(cases).length} rules`);
  },
);

test('an abstract name without a rule → only the same user and root', asRoot, async (t) => {
  const { address, held, refused } = await greeter(t, undefined, abstractName().address);
  assert.equal(await visit(address), 'in');
  for (const user of [nobody, stranger, { ...stranger, gid: 0, groups: [0] }])
    assert.equal(await visit(address, asUser(user)), '');
  assert.deepEqual([held.deniedCount, refused.map((peer) => peer?.uid)], [3, [nobody.uid, stranger.uid, stranger.uid]]);

  const theirs = abstractName();
  const program = await Program.start(t, stranger);
  await program.ask('listen', { address: theirs.address });
  const greeting = String(program.pid);
  assert.equal(await visit(theirs.address, asUser(stranger)), greeting);
  assert.equal(await visit(theirs.address), greeting, 'root');
  assert.equal(await visit(theirs.address, asUser(secondStranger)), '');
});

test('an abstract name with a rule → the rule alone, even if it lets every peer in', asRoot, async (t) => {
  const open = await greeter(t, () => true, abstractName().address);
  assert.equal(await visit(open.address, asUser(nobody)), 'in');
  const closed = await greeter(t, { uid: [nobody.uid] }, abstractName().address);
  assert.equal(await visit(closed.address, asUser(nobody)), 'in');
  assert.equal(await visit(closed.address), '', 'not even root');
});

test(
  'root in a user namespace of an unprivileged user → is the user that it is outside',
  { skip: asRoot.skip || withUserNamespaces.skip },
  async (t) => {
    const { address, refused } = await greeter(t, { uid: [0] });
    const asRootInside = [...asUser(nobody), 'unshare', '--user', '--map-root-user'];
    assert.equal(await visit(address, asRootInside), '');
    assert.deepEqual(
      refused.map((peer) => peer?.uid),
      [nobody.uid],
    );
  },
);

test(
  'a client in another PID namespace → pid 0 where it can’t be seen, and the rule is asked about its uid all the same',
  withNamespaces,
  async (t) => {
    const peers: Credentials[] = [];
    const { address } = await greeter(t, (peer) => peers.push(peer) > 0);
    assert.equal(await visit(address, ['unshare', '--pid', '--fork']), 'in');
    assert.notEqual(peers[0]?.pid, 0, 'ours is an ancestor of that namespace, so we see it');
    assert.notEqual(peers[0]?.pid, 1);
  },
);

test(
  'refused peers hammer a server → those let in are served meanwhile, every refusal is counted, and no descriptor is left',
  asRoot,
  async (t) => {
    const { openDescriptors } = await import('../support/directory.js');
    const { address, held } = await greeter(t, { uid: [self.uid], gid: [70_007] });
    const before = openDescriptors();
    let served = 0;
    const outcomes = await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        if (i % 3 !== 0) return await visit(address, asUser(i % 3 === 1 ? nobody : stranger));
        if ((await heard(address)) === 'in') served++;
        return '';
      }),
    );
    assert.deepEqual([served, held.deniedCount, outcomes.every((said) => said === '')], [20, 40, true]);
    assert.ok(openDescriptors() <= before, 'a descriptor was left open');
  },
);

test('an http server that refuses → its `connection` counters and `clientError` stay silent', async (t) => {
  const seen: string[] = [];
  const server = http.createServer();
  for (const event of ['connection', 'clientError', 'request', 'dropRequest', 'drop', 'checkContinue', 'upgrade'])
    server.on(event, () => seen.push(event));
  const path = `${temporaryDirectory(t)}/app.sock`;
  const held: Claim = await listen(server, path, { allow: () => false });
  await knock(path, 'nonsense\r\n\r\n');
  assert.deepEqual([seen, held.deniedCount], [[], 1]);
  await held.release();
});
