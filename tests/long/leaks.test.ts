import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { claim, listen, type Claim } from 'reuseaddr';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { until, waitThreads } from '../support/waits.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/**
 * The permitted growth of the heap over all rounds: caches of the runtime, and code that is
 * compiled late. 10,000 leaks of 100 bytes are more.
 */
const heapBytesMax = 1_000_000;

const rounds = { claim: 10_000, handover: 1000 } as const;

interface Resources {
  readonly descriptors: number;
  readonly threads: number;
  readonly listeners: number;
  readonly heapBytes: number;
}

async function resources(): Promise<Resources> {
  // Handles are closed, and finalizers run, in later turns.
  for (let i = 0; i < 5; i++) {
    collect();
    await new Promise((turn) => setImmediate(turn));
  }
  await until(() => waitThreads() === 0);
  return {
    descriptors: openDescriptors(),
    threads: fs.readdirSync('/proc/self/task').length,
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
    heapBytes: process.memoryUsage().heapUsed,
  };
}

async function assertNothingGrows(t: TestContext, count: number, round: () => Promise<void>): Promise<void> {
  for (let i = 0; i < count / 10; i++) await round(); // Until everything is compiled and every cache is full.
  const before = await resources();
  for (let i = 0; i < count; i++) await round();
  const after = await resources();
  const grown = after.heapBytes - before.heapBytes;
  t.diagnostic(`${count} rounds: ${after.descriptors} descriptors, ${after.threads} threads, heap ${grown} bytes`);
  assert.deepEqual({ ...after, heapBytes: 0 }, { ...before, heapBytes: 0 });
  assert.ok(grown < heapBytesMax, `the heap has grown by ${grown} bytes`);
}

test(
  `${rounds.claim} claims and releases in one process → descriptors, threads, listeners and heap are where they were`,
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    await assertNothingGrows(t, rounds.claim, async () => (await claim(address)).release());
  },
);

test(`${rounds.claim / 2} refused claims, and waits that time out → nothing is left of them`, onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const holder = await claim(address);
  let count = 0;
  await assertNothingGrows(t, rounds.claim / 2, async () => {
    await assert.rejects(claim(address, count++ % 10 === 0 ? { wait: 1 } : {}), { code: 'EADDRINUSE' });
  });
  await holder.release();
});

test(
  `${rounds.handover} handovers in one process → descriptors, threads, listeners and heap are where they were`,
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    let current: Claim = await listen(net.createServer(), address, { handover: true });
    await assertNothingGrows(t, rounds.handover, async () => {
      const old = current;
      const left = new Promise<void>((resolve) => old.once('handover', () => resolve()));
      current = await listen(net.createServer(), address, { handover: true, takeover: true });
      await left;
    });
    await current.release();
    assert.deepEqual(fs.readdirSync(address.slice(0, address.lastIndexOf('/'))), ['app.sock.lock']);
  },
);
