import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { mock, test, type TestContext } from 'node:test';
import { pauses } from '#dist/kernel/clock.js';
import { connect, listen, type SocketAddressError } from 'reuseaddr';
import { abstractName } from '../support/abstract.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { Program } from '../support/program.js';

/**
 * The thread may not sleep while this test runs: everything else in the process would stand still.
 */
function forbidSleep(t: TestContext): void {
  t.mock.method(Atomics, 'wait', () => {
    throw new Error('The thread was put to sleep.');
  });
}

async function strayAt(t: TestContext, address: string): Promise<void> {
  const stray = net.createServer().listen(address);
  t.after(() => stray.close());
  await once(stray, 'listening');
}

test('docs/handover.md → it names the pauses between two looks as the code has them', () => {
  const page = fs.readFileSync(new URL('../../../docs/handover.md', import.meta.url), 'utf8').replaceAll(/\s+/g, ' ');
  const [firstMs, ...laterMs] = Array.from(
    { length: 100 },
    (
      (each) => () =>
        each.next().value
    )(pauses()),
  );
  assert.ok(page.includes(`looks again after ${firstMs} ms, then at growing intervals up to ${laterMs.at(-1)} ms`));
});

test('starts of every kind meet a stray → refused or waiting, and the thread never sleeps', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  await strayAt(t, address);
  forbidSleep(t);
  for (const options of [{}, { wait: 100 }, { takeover: true }, { takeover: 100, wait: 100, handover: true }]) {
    await assert.rejects(listen(net.createServer(), address, options), { code: 'EADDRINUSE' });
  }
});

test('starts of every kind meet a holder that has locked and does not listen → likewise', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const holder = await listen(net.createServer(), address);
  t.after(() => holder.release());
  fs.rmSync(address); // Its lock is held, and no socket is at the path.
  forbidSleep(t);
  for (const options of [{}, { wait: 100 }, { takeover: 100 }]) {
    await assert.rejects(listen(net.createServer(), address, options), { code: 'EADDRINUSE' });
  }
});

test('an abstract name is held → likewise', onLinux, async (t) => {
  const { address } = abstractName();
  const held = await listen(net.createServer(), address);
  t.after(() => held.release());
  forbidSleep(t);
  for (const options of [{}, { wait: 100 }, { takeover: 100 }]) {
    await assert.rejects(listen(net.createServer(), address, options), { code: 'EADDRINUSE' });
  }
});

/**
 * The replacement for the timers of a program under test: those of node:test, and a clock that
 * stands still.
 */
function fakeTimers(t: TestContext): void {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate', 'Date'] });
  const now = t.mock.method(performance, 'now', () => 0);
  t.after(() => {
    now.mock.restore();
    mock.timers.reset();
  });
}

test('fake timers replace those of the process → wait, takeover and connect keep their limits all the same', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const stopped = await Program.start(t);
  await stopped.ask('listen', { address, options: { handover: true } });
  const stray = `${temporaryDirectory(t)}/stray.sock`;
  await strayAt(t, stray);
  fakeTimers(t);
  stopped.signal('SIGSTOP');
  const reasons = await Promise.all([
    reasonOf(listen(net.createServer(), address, { wait: 50 })),
    reasonOf(listen(net.createServer(), stray, { wait: 50 })),
    reasonOf(listen(net.createServer(), address, { takeover: 50 })),
    reasonOf(connect(`${stray}.absent`, { timeout: 50 })),
  ]);
  assert.deepEqual(reasons, ['cancelled', 'cancelled', 'held', 'absent']);
  stopped.signal('SIGCONT');
  const taken = await listen(net.createServer(), address, { takeover: true });
  await taken.release();
});

async function reasonOf(failing: Promise<unknown>): Promise<string | undefined> {
  return await failing.then(
    () => undefined,
    (error: unknown) => (error as SocketAddressError).reason,
  );
}
