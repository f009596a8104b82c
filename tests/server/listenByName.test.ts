/**
 * A server that listens on the path by itself, under a claim: as on Bun, here with a server of
 * Node.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net, { type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { listen } from 'reuseaddr';
import type { Claim } from '#dist/server/claim.js';
import { readRequest, type ListenOptions } from '#dist/request/readRequest.js';
import { listenByName } from '#dist/server/byName.js';
import { Pending } from '#dist/server/pending.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

function byName(server: Server, address: string, options: ListenOptions = {}): Promise<Claim> {
  return listenByName(Pending.ofServer(server, readRequest(address, options)));
}

test(
  'it listens, and the server is closed or the claim is released → a client reaches it, and only the lock file stays',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const address = `${directory}/app.sock`;
    let open: number | undefined;
    for (const end of ['close', 'release'] as const) {
      const server = net.createServer((connection) => connection.end('hello'));
      assert.equal(server.address(), null);
      const claim = await byName(server, address, { mode: 0o600 });
      assert.equal(server.address(), address);
      assert.equal(server.listenerCount('error'), 0, 'errors of the program are not swallowed');
      assert.equal(await text(net.connect(address)), 'hello');
      assert.equal(fs.statSync(address).mode & 0o777, 0o600);
      await assert.rejects(listen(net.createServer(), address), { reason: 'held' });
      const closed = once(server, 'close');
      if (end === 'close') assert.equal(server.close(), server);
      else await claim.release();
      assert.deepEqual([server.listening, fs.readdirSync(directory)], [false, ['app.sock.lock']]);
      await closed;
      await claim.release();
      assert.equal(openDescriptors(), (open ??= openDescriptors()), end);
    }
  },
);

test('the program closes the server before it listens → cancelled, and nothing is left', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const server = net.createServer();
  const starting = byName(server, `${directory}/app.sock`);
  server.close();
  await assert.rejects(starting, { code: 'ECANCELED' });
  assert.deepEqual([server.listening, fs.readdirSync(directory)], [false, ['app.sock.lock']]);
});

test('the program closes the server when it listens → the claim is released, once', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const server = net.createServer();
  const addresses: unknown[] = [];
  server.once('listening', () => {
    addresses.push(server.address());
    server.close();
  });
  await byName(server, `${directory}/app.sock`);
  assert.deepEqual(addresses, [`${directory}/app.sock`]);
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
  await (await listen(net.createServer(), `${directory}/app.sock`)).release();
});

test(
  'the runtime fails to listen, or another file gets the name → the error, no server listens, and the claim is released',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const address = `${directory}/app.sock`;
    const open = openDescriptors();
    for (const [how, code] of [
      ['fails', 'EMFILE'],
      ['other', 'ENOTSOCK'],
    ] as const) {
      const server = net.createServer();
      const listenPlain = server.listen.bind(server) as (path: string, done: () => void) => Server;
      server.listen = ((path: string, done: () => void) => {
        if (how === 'fails') return process.nextTick(() => server.emit('error', Object.assign(new Error('no'), { code })));
        fs.unlinkSync(address);
        fs.writeFileSync(address, 'of another program');
        return listenPlain(path, done);
      }) as Server['listen'];
      await assert.rejects(byName(server, address), { code });
      assert.ok(!server.listening);
      assert.deepEqual(fs.readdirSync(directory), how === 'fails' ? ['app.sock.lock'] : ['app.sock', 'app.sock.lock']);
      fs.rmSync(address, { force: true });
      await (await listen(net.createServer(), address)).release();
    }
    assert.equal(openDescriptors(), open);
  },
);
