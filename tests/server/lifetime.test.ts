import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { claim, Claim, listen } from 'reuseaddr';
import { abstractName } from '../support/abstract.js';
import { needs } from '../support/commands.js';
import { inodeAt, leftOpen, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { greeting, queuedConnections } from '../support/reach.js';

test('await using → the address is free when the block is left, by an exception as well', async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  const server = net.createServer();
  {
    await using held = await listen(server, path);
    assert.ok(held instanceof Claim);
    assert.ok(inodeAt(path));
  }
  assert.deepEqual([server.listening, inodeAt(path)], [false, undefined]);
  const failing = async (): Promise<void> => {
    await using held = await claim(path);
    assert.equal(held.address, path);
    throw new Error('from the block');
  };
  await assert.rejects(failing, /from the block/);
  assert.equal(inodeAt(path), undefined);
  assert.deepEqual(leftOpen(directory), []);
});

test('release twice, or release after server.close() → done once; the socket of a successor stays', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const server = net.createServer();
  const first = await listen(server, path);
  await first.release();
  const second = await claim(path);
  const inode = inodeAt(path);
  await first.release();
  server.close();
  assert.equal(inodeAt(path), inode);
  await second.release();
  await second.release();
  assert.equal(inodeAt(path), undefined);
});

test('release twice, and other files have the numbers of our descriptors meanwhile → those stay open', async (t) => {
  const directory = temporaryDirectory(t);
  for (const make of [claim, (path: string) => listen(net.createServer(), path)]) {
    const held = await make(`${directory}/app.sock`);
    await held.release();
    const others = Array.from({ length: 8 }, () => fs.openSync('/dev/null', 'r'));
    await held.release();
    for (const fd of others) fs.closeSync(fd); // It throws if it was closed already.
  }
});

test('a server that listens elsewhere by now → release of its former claim does not close it', async (t) => {
  const directory = temporaryDirectory(t);
  const server = net.createServer((connection) => connection.end('here'));
  const former = await listen(server, `${directory}/former`);
  server.close();
  const present = await listen(server, `${directory}/present`);
  await former.release();
  assert.equal(await greeting(`${directory}/present`), 'here');
  await present.release();
});

test('listen → one listening event, before the promise is fulfilled; connections are served from then on', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const order: string[] = [];
  const server = net.createServer((connection) => connection.end('served'));
  server.on('listening', () => order.push('listening event')).on('close', () => order.push('close event'));
  const held = await listen(server, path).then((made) => {
    order.push('promise');
    return made;
  });
  assert.equal(await greeting(path), 'served');
  const closed = once(server, 'close');
  await held.release();
  await closed;
  assert.deepEqual(order, ['listening event', 'promise', 'close event']);
});

test('a start that is refused → the server can listen on another address, and no listener of ours is left on it', async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/taken`);
  const server = net.createServer();
  const counts = () => server.eventNames().map((name) => [name, server.listenerCount(name)]);
  const before = counts();
  let errors = 0;
  await assert.rejects(listen(server, `${directory}/taken`), { code: 'EADDRINUSE' });
  server.on('error', () => errors++);
  assert.deepEqual([server.listening, errors], [false, 0]);
  server.removeAllListeners('error');
  const other = await listen(server, `${directory}/other`);
  assert.deepEqual(counts(), before);
  await other.release();
  await held.release();
});

test('two listen calls on one server at once → one listens, the other is refused, and nothing is left behind', async (t) => {
  const directory = temporaryDirectory(t);
  const server = net.createServer((connection) => connection.end('served'));
  const outcomes = await Promise.allSettled([listen(server, `${directory}/a`), listen(server, `${directory}/b`)]);
  assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  const won = outcomes.findIndex(({ status }) => status === 'fulfilled');
  assert.equal(await greeting(`${directory}/${'ab'[won]}`), 'served');
  assert.equal(inodeAt(`${directory}/${'ba'[won]}`), undefined);
  await (outcomes[won] as PromiseFulfilledResult<Claim>).value.release();
  assert.deepEqual(leftOpen(directory), []);
});

test('claim, then server.listen({ fd }), the server closed before the release → the path is free, nothing is left open', async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  for (let round = 0; round < 3; round++) {
    const held = await claim(path);
    const server = net.createServer((connection) => connection.end('served'));
    await new Promise<void>((listening) => server.listen({ fd: held.fd }, listening));
    assert.equal(await greeting(path), 'served');
    await new Promise((closed) => server.close(closed));
    // Its number goes to another file, which the release must leave alone.
    const other = fs.openSync('/dev/null', 'r');
    await held.release();
    assert.equal(fs.fstatSync(other).isCharacterDevice(), true);
    fs.closeSync(other);
    assert.equal(inodeAt(path), undefined);
  }
  assert.deepEqual(leftOpen(directory), []);
});

test('claim, the server closed before the release, and a stray has bound the path since → the stray stays', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(path);
  const server = net.createServer();
  await new Promise<void>((listening) => server.listen({ fd: held.fd }, listening));
  await new Promise((closed) => server.close(closed));
  fs.rmSync(path);
  const stray = net.createServer((connection) => connection.end('stray'));
  await new Promise<void>((listening) => stray.listen(path, listening));
  await held.release();
  assert.equal(await greeting(path), 'stray');
  await new Promise((closed) => stray.close(closed));
});

test('a claim whose fd no program has taken → the queue holds the connections, and release closes it', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(path, { backlog: 3 });
  assert.equal(await queuedConnections(path, 10), 4, 'Linux queues one more than the backlog');
  await held.release();
  assert.equal(inodeAt(path), undefined);
});

for (const backlog of [0, 1, 5]) {
  test(
    `listen with a backlog of ${backlog} → the queue takes ${backlog + 1} connections, and the next ones get EAGAIN`,
    onLinux,
    async (t) => {
      const path = `${temporaryDirectory(t)}/app.sock`;
      const server = net.createServer();
      await using held = await listen(server, path, { backlog });
      assert.equal(held.address, path);
      assert.equal(await queuedConnections(path, 10), backlog + 1);
    },
  );
}

test(
  'no backlog is asked for → the system’s maximum, for listen and for claim',
  { skip: onLinux.skip || needs('ss').skip },
  async (t) => {
    const directory = temporaryDirectory(t);
    const server = net.createServer();
    await using listening = await listen(server, `${directory}/listen`);
    await using claimed = await claim(`${directory}/claim`);
    const lines = execFileSync('ss', ['-xlH'], { encoding: 'utf8', maxBuffer: 1 << 26 }).split('\n');
    for (const { address } of [listening, claimed]) {
      const line = lines.find((text) => text.includes(`${address} `))!;
      assert.equal(Number(line.trim().split(/\s+/)[3]), Number(fs.readFileSync('/proc/sys/net/core/somaxconn', 'utf8')), line);
    }
  },
);

test('a hundred claims of a hundred paths in one process → each is held, and all are released', async (t) => {
  const directory = temporaryDirectory(t);
  const claims = await Promise.all(Array.from({ length: 100 }, (_, i) => claim(`${directory}/${i}`)));
  await Promise.all(claims.map(({ address }) => assert.rejects(claim(address), { reason: 'held' })));
  await Promise.all(claims.map((held) => held.release()));
  assert.equal(fs.readdirSync(directory).filter((name) => !name.endsWith('.lock')).length, 0);
  assert.deepEqual(leftOpen(directory), []);
});

test(
  'an abstract name is claimed → no file is made; a second claim learns the pid; after release it is free',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const { address } = abstractName();
    const held = await claim(address);
    assert.deepEqual([held.lockPath, held.address], [undefined, address]);
    const refused = await claim(`\0${address.slice(1)}`).catch(
      (error: unknown) => error as { code: string; holder: { pid: number } },
    );
    assert.ok('code' in refused);
    assert.deepEqual([refused.code, refused.holder.pid], ['EADDRINUSE', process.pid]);
    await held.release();
    await (await claim(address)).release();
    assert.deepEqual(fs.readdirSync(directory), []);
  },
);

test(
  'the server is closed in the very turn in which it is told to listen → the claim is released, and nothing waits',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const server = net.createServer();
    const listening = listen(server, `${directory}/app.sock`);
    server.close();
    const held = await listening;
    await (await claim(held.address)).release();
    assert.equal(server.listening, false);
    assert.deepEqual(leftOpen(directory), []);
  },
);
