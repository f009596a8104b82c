import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { claim, listen, type Claim } from 'reuseaddr';
import { inodeAt, leftOpen, temporaryDirectory } from '../support/directory.js';
import { onLinux, withUserNamespaces } from '../support/privileges.js';
import { fixtureBeside, Program } from '../support/program.js';
import { greeting } from '../support/reach.js';
import { until } from '../support/waits.js';

const program = fixtureBeside(import.meta.url.replace('/displaced/', '/handover/'), 'server.mjs');

function greeter(text: string): net.Server {
  return net.createServer((connection) => connection.end(text));
}

async function strayAt(t: TestContext, address: string): Promise<net.Server> {
  const stray = greeter('stray').listen(address);
  await once(stray, 'listening');
  t.after(() => stray.close());
  return stray;
}

/** The actions of an outsider on a file of ours. */
const deeds: Readonly<Record<string, (t: TestContext, path: string) => void | Promise<unknown>>> = {
  'is unlinked': (_t, path) => fs.unlinkSync(path),
  'is renamed away': (_t, path) => fs.renameSync(path, `${path}.away`),
  'is replaced by a file': (_t, path) => {
    fs.writeFileSync(`${path}.new`, 'text');
    fs.renameSync(`${path}.new`, path);
  },
  'is replaced by a symlink': (_t, path) => {
    fs.symlinkSync('/dev/null', `${path}.new`);
    fs.renameSync(`${path}.new`, path);
  },
  'is replaced by the socket of another': async (t, path) => {
    await strayAt(t, `${path}.new`);
    fs.renameSync(`${path}.new`, path);
  },
};

for (const what of ['socket', 'lock'] as const) {
  for (const [deed, outsider] of Object.entries(deeds)) {
    test(`G2: the ${what} file ${deed} → displaced says so, once, and nothing of others is removed at the release`, async (t) => {
      const directory = temporaryDirectory(t);
      const address = `${directory}/app.sock`;
      const path = what === 'socket' ? address : `${address}.lock`;
      const held = await listen(greeter('first'), address);
      const said: string[] = [];
      held.on('displaced', (which) => said.push(which));
      assert.equal(held.displaced, false);
      await outsider(t, path);
      assert.equal(held.displaced, true);
      await until(() => said.length > 0);
      fs.writeFileSync(`${directory}/other`, ''); // One more event of the directory.
      for (let turn = 0; turn < 20; turn++) await setImmediate();
      assert.deepEqual(said, [what]);
      const there = inodeAt(path);
      await held.release();
      assert.equal(inodeAt(path), there);
      assert.equal(held.displaced, false, 'a claim that was given up has nothing to lose');
    });
  }
}

test('nothing happens to our files, and much around them → no displaced', async (t) => {
  const directory = temporaryDirectory(t);
  const held = await listen(greeter('first'), `${directory}/app.sock`);
  let said = 0;
  held.on('displaced', () => said++);
  for (let i = 0; i < 50; i++) {
    fs.writeFileSync(`${directory}/other${i}`, '');
    fs.rmSync(`${directory}/other${i}`);
    fs.chmodSync(`${directory}/app.sock`, 0o600 + (i % 2));
  }
  for (let turn = 0; turn < 50; turn++) await setImmediate();
  assert.equal(said, 0);
  await held.release();
});

test('displaced before the first listener, and by claim() → the event comes nevertheless', async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/app.sock`);
  fs.rmSync(`${directory}/app.sock`);
  assert.deepEqual(await once(held, 'displaced'), ['socket']);
  await held.release();
});

test('the lock file is in another directory, and is removed → displaced', async (t) => {
  const [directory, elsewhere] = [temporaryDirectory(t), temporaryDirectory(t)];
  const held = await listen(greeter('first'), `${directory}/app.sock`, { lockPath: `${elsewhere}/lock` });
  const said = once(held, 'displaced');
  fs.rmSync(`${elsewhere}/lock`);
  assert.deepEqual(await said, ['lock']);
  await held.release();
});

test('a user has no inotify instance left → displaced comes by the slow look', withUserNamespaces, async (t) => {
  const none = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"';
  const address = `${temporaryDirectory(t)}/app.sock`;
  const holder = await Program.start(t, { program, under: ['unshare', '-Ur', 'sh', '-c', none, 'sh'] });
  await holder.ask('listen', { address });
  const said = holder.ask('event', { address, name: 'displaced' });
  fs.rmSync(address);
  assert.equal(await said, true);
});

test('displaced is watched, and a server of a claim that watches is closed → the process ends by itself', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const script = `
    import net from 'node:net';
    import { listen } from 'reuseaddr';
    const server = net.createServer();
    const held = await listen(server, ${JSON.stringify(address)}, { onDisplaced: 'rebind' });
    held.on('displaced', () => {});
    server.unref();`;
  execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: new URL('../../..', import.meta.url) });
  assert.equal(inodeAt(address), undefined);
});

test('listeners of displaced throw → uncaught exceptions; each claim of the directory listens again and tells its listeners all the same', async (t) => {
  const directory = temporaryDirectory(t);
  const script = `
    import fs from 'node:fs';
    import net from 'node:net';
    import { listen } from 'reuseaddr';
    const paths = ['first', 'second'].map((name) => ${JSON.stringify(directory)} + '/' + name);
    const told = [];
    const thrown = [];
    process.on('uncaughtException', ({ message }, origin) => {
      if (thrown.push([message, origin, ...paths.map((path) => fs.existsSync(path))]) === paths.length) process.exit();
    });
    process.on('exit', () => console.log(JSON.stringify(thrown)));
    for (const path of paths) {
      const held = await listen(net.createServer(), path, { onDisplaced: 'rebind' });
      held.on('displaced', () => {
        told.push(path === paths[0] ? 'first' : 'second');
        throw new Error(told.join(' '));
      });
    }
    await new Promise((turn) => setImmediate(turn));
    // Before the next look at them, which finds both displaced.
    paths.forEach((path) => fs.unlinkSync(path));`;
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    cwd: new URL('../../..', import.meta.url),
  });
  const thrown = ['first', 'first second'].map((message) => [message, 'uncaughtException', true, true]);
  assert.deepEqual(JSON.parse(out), thrown);
});

function rebinding(address: string, options: object = {}): Promise<Claim> {
  return listen(greeter('first'), address, { onDisplaced: 'rebind', ...options });
}

test('rebind: the socket file is removed 10 times → the server listens again each time, with the same mode, and release leaves nothing', async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  const held = await rebinding(address, { mode: 0o640 });
  const said: string[] = [];
  held.on('displaced', (what) => said.push(what));
  for (let round = 1; round <= 10; round++) {
    fs.unlinkSync(address);
    await until(() => inodeAt(address) !== undefined && said.length === round);
    assert.equal(await greeting(address), 'first');
    assert.equal(fs.statSync(address).mode & 0o777, 0o640);
    assert.equal(held.displaced, false);
  }
  await held.release();
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
  assert.deepEqual(leftOpen(directory), []);
});

test('rebind: a file, a stray is at the path → it is left alone, until it has gone', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await rebinding(address);
  fs.unlinkSync(address);
  fs.writeFileSync(address, 'text');
  const first = once(held, 'displaced');
  await first;
  for (let turn = 0; turn < 20; turn++) await setImmediate();
  assert.equal(fs.readFileSync(address, 'utf8'), 'text');
  const stray = greeter('stray').listen(`${address}.new`);
  await once(stray, 'listening');
  fs.renameSync(`${address}.new`, address);
  for (let turn = 0; turn < 20; turn++) await setImmediate();
  assert.equal(await greeting(address), 'stray');
  fs.unlinkSync(address);
  stray.close();
  await until(() => inodeAt(address) !== undefined);
  assert.equal(await greeting(address), 'first');
  await held.release();
});

test('rebind: not after the release', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await rebinding(address);
  await held.release();
  fs.writeFileSync(`${address}.other`, '');
  for (let turn = 0; turn < 20; turn++) await setImmediate();
  assert.equal(inodeAt(address), undefined);
});

test('rebind: socket, lock file and handover socket are removed, 3 times → all are there again, and a takeover works', async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  const held = await rebinding(address, { handover: true, mode: 0o640 });
  for (let round = 0; round < 3; round++) {
    execFileSync('sh', ['-c', 'rm -f "$1"*', 'sh', address]);
    await until(() => fs.readdirSync(directory).length === 3);
    assert.equal(held.displaced, false);
    assert.equal(await greeting(address), 'first');
    assert.equal(fs.statSync(address).mode & 0o777, 0o640);
    await assert.rejects(listen(greeter('second'), address), { reason: 'held' });
  }
  const left = once(held, 'handover');
  const taken = await listen(greeter('second'), address, { takeover: true });
  await left;
  assert.equal(await greeting(address), 'second');
  await taken.release();
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
  assert.deepEqual(leftOpen(directory), []);
});

test('rebind: the lock file alone is removed → it is locked anew, and clients notice nothing', async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  const held = await rebinding(address);
  const inode = inodeAt(address);
  fs.unlinkSync(`${address}.lock`);
  await until(() => inodeAt(`${address}.lock`) !== undefined && !held.displaced);
  assert.equal(inodeAt(address), inode);
  await assert.rejects(listen(greeter('second'), address), { reason: 'held' });
  await held.release();
  await (await listen(greeter('second'), address)).release();
  assert.deepEqual(leftOpen(directory), []);
});

test('rebind: the directory is removed, and made again → the server listens there, also the second time', async (t) => {
  const directory = `${temporaryDirectory(t)}/run`;
  fs.mkdirSync(directory);
  const address = `${directory}/app.sock`;
  const held = await rebinding(address);
  for (let round = 0; round < 2; round++) {
    const said = once(held, 'displaced');
    // The program may make its files again meanwhile.
    fs.rmSync(directory, { recursive: true, maxRetries: 10, retryDelay: 20 });
    await said;
    fs.mkdirSync(directory);
    await until(() => inodeAt(address) !== undefined && !held.displaced);
    assert.equal(await greeting(address), 'first');
    await assert.rejects(listen(greeter('second'), address), { reason: 'held' });
  }
  await held.release();
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
  assert.deepEqual(leftOpen(directory), []);
});

test('rebind: files are removed, and another process has claimed the address before → it keeps it', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await listen(greeter('first'), address);
  fs.unlinkSync(address);
  fs.unlinkSync(`${address}.lock`);
  const second = await listen(greeter('second'), address);
  await held.release();
  assert.equal(await greeting(address), 'second');
  const third = await rebinding(`${address}.third`);
  fs.unlinkSync(`${address}.third`);
  fs.unlinkSync(`${address}.third.lock`);
  const fourth = await listen(greeter('fourth'), `${address}.third`);
  for (let turn = 0; turn < 50; turn++) await setImmediate();
  assert.equal(await greeting(`${address}.third`), 'fourth');
  assert.equal(third.displaced, true);
  for (const each of [second, third, fourth]) await each.release();
});

test('rebind, and then a handover → the newcomer gets the new socket; after it the old one rebinds nothing', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await rebinding(address, { handover: true });
  fs.unlinkSync(address);
  await until(() => inodeAt(address) !== undefined);
  const left = once(held, 'handover');
  const taken = await listen(greeter('second'), address, { takeover: true, handover: true });
  await left;
  assert.equal(await greeting(address), 'second');
  fs.unlinkSync(address);
  for (let turn = 0; turn < 20; turn++) await setImmediate();
  assert.equal(inodeAt(address), undefined);
  assert.equal(taken.displaced, true);
  await taken.release();
});

test('displaced without rebind → a takeover is refused, because the file at the path is not the claim', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await listen(greeter('first'), address, { handover: true });
  fs.unlinkSync(address);
  await assert.rejects(listen(greeter('second'), address, { takeover: 100 }), { code: 'EADDRINUSE' });
  await held.release();
  assert.deepEqual(leftOpen(address.slice(0, -9)), []);
});

test("onDisplaced: 'rebind' with claim() → EINVAL: there is no server to listen again", async (t) => {
  await assert.rejects(claim(`${temporaryDirectory(t)}/app.sock`, { onDisplaced: 'rebind' }), {
    code: 'EINVAL',
    reason: 'bad-option',
  });
});

for (const handover of [false, true])
  test(
    `the directory is replaced, with rebind${handover ? ' and handover' : ''} → it listens in the new one, and the old one keeps only the lock file`,
    onLinux,
    async (t) => {
      const above = temporaryDirectory(t);
      const [directory, moved] = [`${above}/run`, `${above}/moved`];
      const address = `${directory}/app.sock`;
      fs.mkdirSync(directory);
      const held = await listen(greeter('first'), address, { handover, onDisplaced: 'rebind' });
      const said = once(held, 'displaced');
      fs.renameSync(directory, moved);
      fs.mkdirSync(directory);
      await said;
      await until(() => !held.displaced);
      assert.equal(await greeting(address), 'first');
      assert.deepEqual(fs.readdirSync(moved), ['app.sock.lock']);
      assert.deepEqual(leftOpen(moved), []);
      await held.release();
      assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
    },
  );
