import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net, { type Server } from 'node:net';
import { test } from 'node:test';
import { claim, listen, type SocketAddressError } from 'reuseaddr';
import { readRequest } from '#dist/request/readRequest.js';
import { ServerAcceptor } from '#dist/server/serverAcceptor.js';
import { Pending } from '#dist/server/pending.js';
import { leftOpen, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { fixtureBeside, Program } from '../support/program.js';
import { greeting } from '../support/reach.js';

const kinds = { net: () => net.createServer((connection) => connection.end('late')), http: () => http.createServer() };
const calledOff = { code: 'ECANCELED', reason: 'cancelled' } as const;
const refused = { code: 'ERR_SERVER_ALREADY_LISTEN', reason: 'already-listening' } as const;

for (const [kind, create] of Object.entries(kinds)) {
  test(`a ${kind} server waits for an address → every other listen on it is refused at once, and the first gets the address`, async (t) => {
    const directory = temporaryDirectory(t);
    const holder = await listen(net.createServer(), `${directory}/a`);
    const server = create();
    const first = listen(server, `${directory}/a`, { wait: true });
    await assert.rejects(listen(server, `${directory}/b`), refused);
    await assert.rejects(listen(server, `${directory}/a`, { wait: true }), refused);
    assert.throws(() => server.listen(0, '127.0.0.1'), refused);
    assert.throws(() => server.listen(`${directory}/c`), refused);
    assert.equal(server.listening, false);
    await holder.release();
    const held = await first;
    assert.equal(server.address(), held.address);
    await assert.rejects(listen(server, `${directory}/b`), refused);
    if (kind === 'net') assert.equal(await greeting(held.address), 'late');
    const closed = once(server, 'close');
    await held.release();
    await closed;
    await (await listen(server, `${directory}/b`)).release();
    assert.deepEqual([Object.hasOwn(server, 'close'), Object.hasOwn(server, 'listen')], [false, false]);
    assert.deepEqual(leftOpen(directory), []);
  });

  test(`a ${kind} server is closed while it waits → the wait is called off, and the server can be used again`, async (t) => {
    const directory = temporaryDirectory(t);
    const server = create();
    t.after(() => server.close());
    for (const signal of [undefined, new AbortController().signal]) {
      const holder = await listen(net.createServer(), `${directory}/a`);
      const waiting = listen(server, `${directory}/a`, { wait: true, signal });
      const closed = new Promise((resolve) => server.close(resolve));
      // A start that still waits gets the address, and is found out.
      await Promise.all([assert.rejects(waiting, calledOff), holder.release()]);
      assert.equal(((await closed) as NodeJS.ErrnoException).code, 'ERR_SERVER_NOT_RUNNING');
    }
    await (await claim(`${directory}/a`)).release();
    await (await listen(server, `${directory}/a`)).release();
    assert.deepEqual(leftOpen(directory), []);
  });
}

test('a server that still has connections of its last address is closed while it waits for the next → called off at once', async (t) => {
  const directory = temporaryDirectory(t);
  const first = await listen(net.createServer(), `${directory}/a`);
  const server = net.createServer();
  t.after(() => server.close());
  const before = await listen(server, `${directory}/b`);
  const client = net.connect(`${directory}/b`);
  t.after(() => client.destroy());
  await once(server, 'connection');
  await before.release();
  const waiting = listen(server, `${directory}/a`, { wait: true });
  server.close();
  await Promise.all([assert.rejects(waiting, calledOff), first.release()]);
  const holder = await listen(net.createServer(), `${directory}/a`);
  const next = listen(server, `${directory}/a`, { wait: true });
  client.destroy(); // The `close` of its last address comes now, and is no close of this one.
  await once(server, 'close');
  await holder.release();
  await (await next).release();
});

test('a server is closed while it asks the holder → called off at once, and the holder continues', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const program = fixtureBeside(import.meta.url.replace('/server/', '/handover/'), 'server.mjs');
  const holder = await Program.start(t, { program });
  await holder.ask('listen', { address, options: { handover: true } });
  holder.signal('SIGSTOP');
  const server = net.createServer();
  t.after(() => server.close());
  // One that is not called off asks in vain, and a holder that continues gives it the address.
  const asking = listen(server, address, { takeover: true });
  server.close();
  const wakeUp = setTimeout(() => holder.signal('SIGCONT'), 20_000);
  await assert.rejects(asking, calledOff);
  clearTimeout(wakeUp);
  holder.signal('SIGCONT');
  assert.equal(await greeting(address), String(holder.pid));
});

test('a server is closed by its own listening listener in the middle of a takeover → called off, and the holder continues', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await listen(
    net.createServer((connection) => connection.end('first')),
    address,
    { handover: true },
  );
  t.after(() => held.release());
  const handedOver = t.mock.fn();
  held.on('handover', handedOver);
  const server: Server = net.createServer((connection) => connection.end('second'));
  server.once('listening', () => server.close());
  await assert.rejects(listen(server, address, { takeover: true }), calledOff);
  assert.equal(await greeting(address), 'first');
  assert.equal(handedOver.mock.callCount(), 0);
  const taken = await listen(server, address, { takeover: true });
  assert.equal(await greeting(address), 'second');
  await taken.release();
});

test('the program puts its own close on a server that waits → it stays there', async (t) => {
  const directory = temporaryDirectory(t);
  const holder = await listen(net.createServer(), `${directory}/a`);
  const server = net.createServer();
  const first = listen(server, `${directory}/a`, { wait: true });
  const close = server.close.bind(server);
  t.after(() => close());
  const own = t.mock.fn((callback?: (error?: Error) => void) => close(callback));
  server.close = own;
  server.close();
  await Promise.all([assert.rejects(first, (error: SocketAddressError) => error.reason === 'cancelled'), holder.release()]);
  assert.equal(server.close, own);
  const held = await listen(server, `${directory}/a`);
  await held.release();
  assert.equal(own.mock.callCount(), 2);
});

test('the server has methods of its own when it begins to wait → it has them again afterwards', async (t) => {
  const directory = temporaryDirectory(t);
  const holder = await listen(net.createServer(), `${directory}/a`);
  const server = net.createServer();
  t.after(() => holder.release());
  const { close } = server;
  server.close = close;
  const before = Object.keys(server);
  const controller = new AbortController();
  const waiting = listen(server, `${directory}/a`, { wait: true, signal: controller.signal });
  assert.deepEqual(Object.keys(server), before);
  controller.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  assert.deepEqual([server.close, Object.keys(server)], [close, before]);
});

test('a start is cancelled when the holder has offered → it ends once, and the server has its methods again', async (t) => {
  const server = net.createServer();
  const pending = Pending.ofServer(server, readRequest(`${temporaryDirectory(t)}/a`, {}));
  const acceptor = new ServerAcceptor(pending);
  server.close();
  await assert.rejects(acceptor.start(-1, ''), calledOff);
  acceptor.stop();
  pending.end();
  assert.deepEqual([Object.hasOwn(server, 'close'), Object.hasOwn(server, 'listen')], [false, false]);
});
