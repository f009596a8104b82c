import { AT_FDCWD } from '#dist/kernel/kernel.js';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { claim, listen, type Claim } from '#dist/index.js';
import { kernel } from '#dist/kernel/posix.js';
import { abstractName } from '../support/abstract.js';
import { inodeAt, leftOpen, openDescriptors, temporaryDirectory } from '../support/directory.js';
import { asRoot, onLinux, stranger } from '../support/privileges.js';
import { fixtureBeside, Program } from '../support/program.js';
import { greeting } from '../support/reach.js';
import { kinds } from '../server/kinds.js';

const both = { takeover: true, handover: true } as const;
const program = fixtureBeside(import.meta.url, 'server.mjs');

function greeter(text: string): net.Server {
  return net.createServer((connection) => connection.end(text));
}

function handedOver(made: Claim): Promise<unknown> {
  return once(made, 'handover');
}

/** Two holders in one process: to the protocol they are as good as two processes. */
async function pair(t: TestContext, address: string) {
  const [first, second] = [greeter('first'), greeter('second')];
  const held = await listen(first, address, { handover: true });
  const left = handedOver(held);
  const taken = await listen(second, address, both);
  await left;
  t.after(() => taken.release());
  return { first, held, taken };
}

test('a takeover → the newcomer is the holder, with the same socket file; the old server listens no more, and its release does nothing', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const [first, second] = [greeter('first'), greeter('second')];
  const held = await listen(first, address, { handover: true });
  const inode = inodeAt(address);
  const order: string[] = [];
  held.on('handover', () => order.push(`handover, listening: ${first.listening}`));
  const closed = once(first, 'close');
  const taken = await listen(second, address, both);
  await closed;
  assert.deepEqual(order, ['handover, listening: false']);
  assert.deepEqual([held.displaced, taken.displaced, second.address()], [false, false, address]);
  await held.release();
  first.close();
  assert.equal(await greeting(address), 'second');
  assert.equal(inodeAt(address), inode);
  await taken.release();
  assert.deepEqual(fs.readdirSync(address.slice(0, -9)), ['app.sock.lock']);
});

test('no process holds the address → takeover is an ordinary claim', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const server = greeter('first');
  const held = await listen(server, address, { takeover: true });
  assert.equal(await greeting(address), 'first');
  await held.release();
});

test('the holder does not serve handovers → EADDRINUSE, with the holder and what to do; it is not disturbed', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await listen(greeter('first'), address);
  t.after(() => held.release());
  await assert.rejects(
    listen(greeter('second'), address, { takeover: true }),
    (error: NodeJS.ErrnoException & { holder?: { pid: number } }) => {
      assert.equal(error.code, 'EADDRINUSE');
      assert.equal(error.holder?.pid, process.pid);
      assert.match(error.message, /It serves no handovers\. Close the server that listens there/);
      return true;
    },
  );
  assert.equal(await greeting(address), 'first');
});

test('a stray is there → takeover is refused, and it is left alone', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const stray = greeter('stray').listen(address);
  t.after(() => stray.close());
  await once(stray, 'listening');
  await assert.rejects(listen(greeter('second'), address, { takeover: true }), { code: 'EADDRINUSE', reason: 'stray' });
  assert.equal(await greeting(address), 'stray');
});

for (const end of ['releases', 'exits'] as const)
  test(`the holder ${end} while the newcomer has a share of the claim → the newcomer is the holder, with all files`, async (t) => {
    for (const lockFile of ['keep', 'remove'] as const) {
      const directory = temporaryDirectory(t);
      const address = `${directory}/app.sock`;
      const held = await listen(greeter('first'), address, { handover: true, lockFile });
      const [inode, lock] = [inodeAt(address), inodeAt(`${address}.lock`)];
      const second = greeter('second');
      const atExit = process.listeners('exit').find(({ name }) => name === 'releaseAllAtExit')!;
      second.once('listening', () => (end === 'exits' ? atExit(0) : void held.release()));
      const taken = await listen(second, address, { ...both, lockFile });
      t.after(() => taken.release());
      assert.deepEqual([inodeAt(address), inodeAt(`${address}.lock`)], [inode, lock], lockFile);
      assert.equal(await greeting(address), 'second');
      await assert.rejects(listen(greeter('third'), address), { reason: 'held', message: /this very process/ });
      await taken.release();
      assert.deepEqual(fs.readdirSync(directory), lockFile === 'keep' ? ['app.sock.lock'] : []);
    }
  });

test('takeover and wait, and the holder does not serve handovers → the newcomer waits until it releases', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await listen(greeter('first'), address);
  const waiting = listen(greeter('second'), address, { takeover: true, wait: true });
  assert.equal(await Promise.race([waiting, setImmediate('waits')]), 'waits');
  await held.release();
  const taken = await waiting;
  assert.equal(await greeting(address), 'second');
  await taken.release();
});

test('a newcomer without handover → the handover socket goes with the old holder, and takeover from it is refused', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  await listen(greeter('first'), address, { handover: true });
  assert.ok(inodeAt(`${address}.handover`));
  const taken = await listen(greeter('second'), address, { takeover: true });
  assert.equal(inodeAt(`${address}.handover`), undefined);
  await assert.rejects(listen(greeter('third'), address, { takeover: true }), { code: 'EADDRINUSE', reason: 'held' });
  assert.equal(await greeting(address), 'second');
  await taken.release();
});

test('a holder that served handovers was killed → the next start removes its handover socket; so does a standby', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  for (const options of [{}, { wait: true }]) {
    const holder = await Program.start(t, { program });
    await holder.ask('listen', { address, options: { handover: true } });
    const standby = 'wait' in options ? listen(greeter('next'), address, options) : undefined;
    await holder.kill();
    const held = await (standby ?? listen(greeter('next'), address));
    assert.equal(inodeAt(`${address}.handover`), undefined);
    await held.release();
  }
});

test('the newcomer asks for another mode → the socket file has it', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  await listen(greeter('first'), address, { handover: true, mode: 0o660 });
  const taken = await listen(greeter('second'), address, { ...both, mode: 0o640 });
  assert.equal(fs.statSync(address).mode & 0o777, 0o640);
  assert.equal(fs.statSync(`${address}.handover`).mode & 0o777, 0o600);
  await taken.release();
});

test(
  'the newcomer may not give the file the owner that it asks for → EPERM, and the holder continues, with nothing changed',
  asRoot,
  async (t) => {
    const directory = temporaryDirectory(t);
    fs.chownSync(directory, stranger.uid, stranger.gid);
    const address = `${directory}/app.sock`;
    const [holder, newcomer] = await Promise.all([
      Program.start(t, { program, ...stranger }),
      Program.start(t, { program, ...stranger }),
    ]);
    await holder.ask('listen', { address, options: both });
    const { code } = await newcomer.refused('listen', { address, options: { ...both, owner: 0 } });
    assert.equal(code, 'EPERM');
    assert.equal(fs.statSync(address).uid, stranger.uid);
    assert.equal(await greeting(address), String(holder.pid));
    await newcomer.ask('listen', { address, options: both });
  },
);

test('owner and group at a takeover by root from another user → the socket file has them', asRoot, async (t) => {
  const directory = temporaryDirectory(t);
  fs.chownSync(directory, stranger.uid, stranger.gid);
  const address = `${directory}/app.sock`;
  const holder = await Program.start(t, { program, ...stranger });
  await holder.ask('listen', { address, options: both });
  const taken = await listen(greeter('root'), address, { ...both, owner: stranger.uid, group: 7 });
  assert.deepEqual([fs.statSync(address).uid, fs.statSync(address).gid], [stranger.uid, 7]);
  assert.equal(await greeting(address), 'root');
  await taken.release();
});

test('an abstract name is handed over, twice → the newest answers; afterwards the name is free', onLinux, async (t) => {
  const { address, nodePath } = abstractName();
  const short = `@reuseaddr-${process.pid}-handover`;
  for (const name of [short]) {
    const first = await listen(greeter('first'), name, { handover: true });
    const left = handedOver(first);
    const second = await listen(greeter('second'), name, both);
    await left;
    const third = await listen(greeter('third'), name, both);
    assert.deepEqual([second.lockPath, third.lockPath], [undefined, undefined]);
    await third.release();
    const again = await listen(greeter('again'), name, { handover: true });
    await again.release();
  }
  const held = await listen(greeter('full'), address);
  assert.equal(await greeting(nodePath), 'full');
  await held.release();
  t.diagnostic('3 handovers');
});

test(
  'a path of more than 107 bytes is handed over → the newcomer answers, and release leaves nothing but the lock file',
  onLinux,
  async (t) => {
    const directory = `${temporaryDirectory(t)}/${'d'.repeat(120)}`;
    fs.mkdirSync(directory);
    const address = `${directory}/app.sock`;
    const { taken } = await pair(t, address);
    const fd = fs.openSync(directory, 'r');
    assert.equal(await greeting(`/proc/self/fd/${fd}/app.sock`), 'second');
    fs.closeSync(fd);
    await taken.release();
    assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
  },
);

test('claim() hands over → the event comes before the descriptor is closed, and the newcomer has the same socket', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(address, { handover: true });
  const { fd } = held;
  const inode = fs.fstatSync(fd).ino;
  const seen: unknown[] = [];
  held.on('handover', () => seen.push(fs.fstatSync(fd).ino));
  const taken = await claim(address, both);
  assert.deepEqual(seen, [inode]);
  assert.equal(fs.fstatSync(taken.fd).ino, inode);
  await held.release();
  await taken.release();
  assert.deepEqual(leftOpen(address.slice(0, -9)), []);
});

for (const form of ['claim', 'listen'] as const) {
  test(`${form}: listeners of handover throw → an uncaught exception, and the handover is complete all the same`, async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const script = `
    import net from 'node:net';
    import { claim, listen } from 'reuseaddr';
    const errors = [];
    process.on('uncaughtException', ({ message }, origin) => errors.push([message, origin]));
    const held = await ${form}(${form === 'listen' ? 'net.createServer(), ' : ''}${JSON.stringify(address)}, { handover: true });
    held.on('handover', () => { throw new Error('of a listener'); });
    const taken = await listen(net.createServer((c) => c.end('second')), ${JSON.stringify(address)}, { takeover: true });
    await new Promise((turn) => setImmediate(turn));
    let text = '';
    for await (const data of net.connect(${JSON.stringify(address)})) text += data;
    await taken.release();
    console.log(JSON.stringify({ errors, text }));`;
    const { execFileSync } = await import('node:child_process');
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      cwd: new URL('../../..', import.meta.url),
    });
    assert.deepEqual(JSON.parse(out), { errors: [['of a listener', 'uncaughtException']], text: 'second' });
  });
}

test('listeners of listening throw → an uncaught exception; a start and a takeover are complete all the same', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const script = `
    import net from 'node:net';
    import { listen } from 'reuseaddr';
    const errors = [];
    process.on('uncaughtException', ({ message }, origin) => errors.push([message, origin]));
    const throwing = (text) => net.createServer((c) => c.end(text)).on('listening', () => { throw new Error(text); });
    const held = await listen(throwing('first'), ${JSON.stringify(address)}, { handover: true });
    const taken = await listen(throwing('second'), ${JSON.stringify(address)}, { takeover: true });
    let text = '';
    for await (const data of net.connect(${JSON.stringify(address)})) text += data;
    await held.release();
    await taken.release();
    console.log(JSON.stringify({ errors, text }));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: new URL('../../..', import.meta.url),
    timeout: 60_000,
  });
  const errors = ['first', 'second'].map((text) => [text, 'uncaughtException']);
  assert.deepEqual(JSON.parse(stdout), { errors, text: 'second' });
});

for (const [name, kind] of Object.entries(kinds)) {
  test(`a ${name} server is handed over 10 times, while clients ask → every request is answered`, async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const servers: net.Server[] = [];
    const serve = async (): Promise<Claim> => {
      servers.push(kind.create('answer'));
      return await listen(servers.at(-1)!, path, both);
    };
    let made = await serve();
    const load = { asked: 0, stopping: false };
    const clients = Array.from({ length: 4 }, async () => {
      while (!load.stopping) {
        // It came after the server had said which was the last one. RFC 9113, section 8.7: no
        // server has processed it, so the client may repeat it.
        const answer = await kind
          .request(path)
          .catch((error: unknown) => (/REFUSED_STREAM/.test(String(error)) ? 'refused' : Promise.reject(error)));
        if (answer === 'refused') continue;
        assert.equal(answer, 'answer');
        load.asked++;
      }
    });
    for (let handover = 0; handover < 10; handover++) {
      made = await serve();
      await setImmediate();
    }
    load.stopping = true;
    await Promise.all(clients);
    assert.ok(load.asked > 0);
    await made.release();
    t.diagnostic(`${load.asked} requests`);
  });
}

test('a request is being answered when the server is handed over → it comes to its end, and so do the connections in the queue', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const open: net.Socket[] = [];
  const first = net.createServer((connection) => {
    // The first is kept waiting, as by a slow answer.
    if (open.push(connection) > 1) connection.end('first');
  });
  await listen(first, address, { handover: true });
  const slow = greeting(address);
  await once(first, 'connection');
  const queued = Array.from({ length: 500 }, () => greeting(address));
  const taken = await listen(greeter('second'), address, both);
  open[0]!.end('first');
  assert.equal(await slow, 'first');
  const answers = await Promise.all(queued);
  assert.deepEqual(new Set(answers).size <= 2, true);
  t.diagnostic(
    `of 500 queued connections ${answers.filter((one) => one === 'second').length} came to the newcomer, the others to the old server; none was lost`,
  );
  await taken.release();
});

test('a signal calls a takeover off while the holder is stopped → rejected with its reason at once', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const holder = await Program.start(t, { program });
  await holder.ask('listen', { address, options: both });
  holder.signal('SIGSTOP');
  const controller = new AbortController();
  const before = openDescriptors();
  const asked = listen(greeter('second'), address, { takeover: true, signal: controller.signal });
  controller.abort(new Error('no longer wanted'));
  await assert.rejects(asked, { message: 'no longer wanted' });
  await assert.rejects(listen(greeter('second'), address, { takeover: 20 }), {
    code: 'EADDRINUSE',
    message: /It did not hand over in time/,
  });
  assert.ok(openDescriptors() <= before, 'a descriptor was left open');
  holder.signal('SIGCONT');
  const taken = await listen(greeter('second'), address, { takeover: true });
  await taken.release();
});

test('handovers come and go → no descriptor is left', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  let made = await listen(greeter('0'), address, both);
  t.after(() => made.release());
  const settled = async (): Promise<number> => {
    for (let turn = 0; turn < 20; turn++) await setImmediate();
    return openDescriptors();
  };
  // Descriptors of earlier tests may be closed meanwhile, so there may be fewer than before, but
  // never more.
  const before = await settled();
  for (let i = 0; i < 20; i++) made = await listen(greeter(String(i)), address, both);
  const after = await settled();
  assert.ok(after <= before, `${after} descriptors after 20 handovers, ${before} before`);
  await made.release();
  assert.equal(typeof kernel.fstatat(AT_FDCWD, address), 'string');
});
