import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { listen, type Claim, type SocketAddressError } from 'reuseaddr';
import { abstractName } from '../support/abstract.js';
import { leftOpen, openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { greeting } from '../support/reach.js';
import { blockedWaits, until, waitThreads } from '../support/waits.js';

function greeter(text: string): net.Server {
  return net.createServer((connection) => connection.end(text));
}

/** A standby, and whether it has the address by now. */
function standby(address: string, text: string, options: object = {}) {
  const one = { text, claim: undefined as Claim | undefined, error: undefined as unknown, settled: Promise.resolve() };
  one.settled = listen(greeter(text), address, { wait: true, ...options }).then(
    (claim) => void (one.claim = claim),
    (error: unknown) => void (one.error = error),
  );
  return one;
}

test(
  '64 standbys in one process → files are read meanwhile; each time the holder releases exactly one of them gets the address',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    let holder = await listen(greeter('first'), address);
    const all = Array.from({ length: 64 }, (_, i) => standby(address, String(i)));
    await until(() => blockedWaits(`${address}.lock`) === 64);
    await Promise.all(Array.from({ length: 16 }, () => fs.promises.readFile(`${address}.lock`)));
    for (let round = 1; round <= 64; round++) {
      await holder.release();
      await until(() => all.filter(({ claim }) => claim).length >= round);
      const answer = await greeting(address);
      assert.equal(all.filter(({ claim }) => claim).length, round, 'exactly one more');
      holder = all[Number(answer)]!.claim!;
    }
    await holder.release();
    assert.deepEqual(
      all.filter(({ error }) => error),
      [],
    );
    await until(() => waitThreads() === 0);
    assert.deepEqual(leftOpen(address.slice(0, -9)), []);
  },
);

test(
  'four standby processes, and the holder is killed each time → exactly one of those that are left gets the address',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    let holder = await Program.start(t);
    await holder.ask('listen', { address });
    let standbys = await Promise.all(Array.from({ length: 4 }, () => Program.start(t)));
    let got: number[] = [];
    for (const program of standbys)
      void program.ask('listen', { address, options: { wait: true } }).then(
        () => got.push(program.pid),
        () => undefined,
      );
    await until(() => blockedWaits(`${address}.lock`) === 4);
    while (standbys.length > 0) {
      got = [];
      await holder.kill();
      await until(() => got.length > 0);
      await until(() => blockedWaits(`${address}.lock`) === standbys.length - 1);
      assert.equal(got.length, 1);
      assert.equal(await greeting(address), String(got[0]));
      holder = standbys.find(({ pid }) => pid === got[0])!;
      standbys = standbys.filter((program) => program !== holder);
    }
  },
);

test('a signal calls the wait off → rejected with its reason; the other standbys wait on', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const holder = await listen(greeter('first'), address);
  t.after(() => holder.release());
  const before = openDescriptors();
  const controller = new AbortController();
  const reason = new Error('no longer wanted');
  const [called, other] = [standby(address, 'called', { signal: controller.signal }), standby(address, 'other')];
  await until(() => blockedWaits(`${address}.lock`) === 2);
  controller.abort(reason);
  await called.settled;
  assert.equal(called.error, reason);
  // The kernel has the other one try again when the one before it in the queue leaves.
  await until(() => blockedWaits(`${address}.lock`) === 1);
  assert.equal(other.claim, undefined);
  await holder.release();
  await other.settled;
  assert.equal(await greeting(address), 'other');
  await other.claim!.release();
  assert.ok(openDescriptors() <= before);
});

test('a signal that was aborted before → rejected with its reason, and nothing is created', async (t) => {
  const directory = temporaryDirectory(t);
  const signal = AbortSignal.abort(new Error('never'));
  for (const options of [{ signal }, { signal, wait: true }, { signal, takeover: true }]) {
    await assert.rejects(listen(greeter('x'), `${directory}/app.sock`, options), { message: 'never' });
  }
  assert.deepEqual(fs.readdirSync(directory), []);
});

test('20 standbys with one signal → no warning, all are called off', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const holder = await listen(greeter('first'), address);
  t.after(() => holder.release());
  const warnings: Error[] = [];
  const note = (warning: Error) => void warnings.push(warning);
  process.on('warning', note);
  t.after(() => process.off('warning', note));
  const controller = new AbortController();
  const all = Array.from({ length: 20 }, (_, i) => standby(address, String(i), { signal: controller.signal }));
  await until(() => blockedWaits(`${address}.lock`) === 20);
  controller.abort();
  await Promise.all(all.map(({ settled }) => settled));
  await setImmediate();
  assert.deepEqual(warnings, []);
  await until(() => waitThreads() === 0);
});

test('the deadline of a wait passes → EADDRINUSE, cancelled, with the holder; wait: 0 is one try', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const holder = await listen(greeter('first'), address);
  const before = openDescriptors();
  for (const wait of [30, 1, 0]) {
    await assert.rejects(listen(greeter('x'), address, { wait }), (error: SocketAddressError) => {
      assert.deepEqual([error.code, error.reason, error.holder?.pid], ['EADDRINUSE', 'cancelled', process.pid]);
      assert.match(error.message, /has held it since .*, and the wait for it has ended/);
      return true;
    });
  }
  await until(() => waitThreads() === 0);
  assert.ok(openDescriptors() <= before); // Fewer where those of an earlier test have gone meanwhile.
  await holder.release();
  assert.deepEqual(leftOpen(address.slice(0, -9)), []);
});

test('bad values of wait, takeover, handover and onDisplaced → EINVAL, and nothing is created', async (t) => {
  const directory = temporaryDirectory(t);
  const bad: readonly object[] = [
    { wait: -1 },
    { wait: 1.5 },
    { wait: NaN },
    { wait: 2 ** 31 },
    { wait: 'yes' },
    { wait: null },
    { takeover: -1 },
    { takeover: 'yes' },
    { handover: 'yes' },
    { handover: 1 },
    { onDisplaced: 'ignore' },
    { onDisplaced: null },
  ];
  for (const options of bad) {
    await assert.rejects(
      listen(greeter('x'), `${directory}/app.sock`, options),
      { code: 'EINVAL', reason: 'bad-option' },
      JSON.stringify(options),
    );
  }
  assert.deepEqual(fs.readdirSync(directory), []);
});

test(
  'the process ends while standbys wait → it ends, by exit, by SIGTERM, and with a timer that is the last',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const holder = await listen(greeter('first'), address);
    t.after(() => holder.release());
    const script = (end: string): string => `
    import net from 'node:net';
    import { listen } from 'reuseaddr';
    for (let i = 0; i < 8; i++) listen(net.createServer(), ${JSON.stringify(address)}, { wait: true }).catch(() => {});
    setImmediate(() => { ${end} });`;
    const root = new URL('../../..', import.meta.url);
    const run = (end: string): unknown => {
      try {
        execFileSync(process.execPath, ['--input-type=module', '-e', script(end)], { cwd: root });
        return 0;
      } catch (error) {
        const { status, signal } = error as { status: number | null; signal: string | null };
        return status ?? signal;
      }
    };
    assert.equal(run('process.exit(7)'), 7);
    assert.equal(run(`process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)`), 'SIGTERM');
    assert.equal(blockedWaits(`${address}.lock`), 0);
  },
);

for (const replace of [false, true]) {
  test(
    `a cleaner ${replace ? 'replaces' : 'removes'} the lock file on which a standby sleeps, and the address is free → the standby gets it at the new one`,
    onLinux,
    async (t) => {
      const directory = temporaryDirectory(t);
      const address = `${directory}/app.sock`;
      const holder = await Program.start(t);
      await holder.ask('listen', { address });
      const one = standby(address, 'standby');
      await until(() => blockedWaits(`${address}.lock`) === 1);
      // No process listens, but the lock is held: only the standby that looks at the path can know.
      fs.rmSync(address);
      if (replace) {
        fs.writeFileSync(`${address}.new`, '', { mode: 0o600 });
        fs.renameSync(`${address}.new`, `${address}.lock`);
      } else fs.rmSync(`${address}.lock`);
      await one.settled;
      assert.equal(await greeting(address), 'standby');
      await holder.kill();
      assert.equal(one.claim!.displaced, false);
      await one.claim!.release();
    },
  );
}

test(
  'lock files are removed 40 times while a standby sleeps → it still waits, and gets the address in the end',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const one = standby;
    const lockPath = `${address}.lock`;
    const held = await Program.start(t);
    await held.ask('stray', { address });
    const waiting = one(address, 'standby');
    for (let count = 0; count < 40; count++) {
      fs.rmSync(lockPath, { force: true });
      await setImmediate();
    }
    await held.kill();
    await waiting.settled;
    assert.equal(await greeting(address), 'standby');
    await waiting.claim!.release();
  },
);

test('a stray has the address → the standby looks again and again, and gets it when the stray has gone', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const stray = await Program.start(t);
  await stray.ask('stray', { address });
  const one = standby(address, 'standby');
  assert.equal(await Promise.race([one.settled, setImmediate('waits')]), 'waits');
  assert.equal(await greeting(address), String(stray.pid));
  await stray.kill();
  await one.settled;
  assert.equal(await greeting(address), 'standby');
  await one.claim!.release();
});

test(
  'an abstract name is held → the standby gets it when the holder dies; a deadline and a signal end the wait',
  onLinux,
  async (t) => {
    const { address, nodePath } = abstractName();
    const holder = await Program.start(t);
    await holder.ask('listen', { address });
    await assert.rejects(listen(greeter('x'), address, { wait: 20 }), (error: SocketAddressError) => {
      assert.deepEqual([error.code, error.reason, error.holder?.pid], ['EADDRINUSE', 'cancelled', holder.pid]);
      return true;
    });
    const controller = new AbortController();
    const called = standby(address, 'called', { signal: controller.signal });
    controller.abort(new Error('off'));
    await called.settled;
    assert.equal((called.error as Error).message, 'off');
    const one = standby(address, 'standby');
    await holder.kill();
    await one.settled;
    assert.equal(await greeting(nodePath), 'standby');
    await one.claim!.release();
  },
);

test('the holder has locked and does not listen → the standby waits for it all the same', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const holder = await listen(greeter('first'), address);
  t.after(() => holder.release());
  fs.rmSync(address); // Its lock is held, and no socket is at the path.
  const one = standby(address, 'standby');
  await until(() => blockedWaits(`${address}.lock`) === 1);
  await assert.rejects(listen(greeter('x'), address), { reason: 'displaced' });
  await holder.release();
  await one.settled;
  assert.equal(await greeting(address), 'standby');
  await one.claim!.release();
});
