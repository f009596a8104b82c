import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import { claim, listen } from 'reuseaddr';
import { runtimes } from '../runtimes/install.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { until } from '../support/waits.js';
import { terminateWorkers } from './workers.js';

test(
  'workers listen, claim, take over and wait, and are terminated at random moments → the next start succeeds, and nothing of them is left',
  onLinux,
  async (t) => {
    for (const runtime of await runtimes()) await terminateWorkers(t, runtime, 48, 6);
  },
);

const library = import.meta.resolve('reuseaddr');

/**
 * The work of a worker, and whether another holds the address before it, in this thread, and serves
 * handovers.
 */
const lives: readonly { readonly does: string; readonly takesOver?: boolean; readonly abstract?: boolean }[] = [
  { does: 'listen(net.createServer(), address)' },
  { does: 'listen(net.createServer(), address, { handover: true })' },
  { does: 'claim(address)' },
  { does: 'claim(address, { handover: true })' },
  { does: 'listen(net.createServer(), address)', abstract: true },
  { does: 'claim(address, { handover: true })', abstract: true },
  { does: 'listen(net.createServer(), address, { takeover: true })', takesOver: true },
  { does: 'listen(net.createServer(), address, { takeover: true, handover: true })', takesOver: true },
  { does: 'claim(address, { takeover: true })', takesOver: true },
  { does: 'claim(address, { takeover: true })', takesOver: true, abstract: true },
];

const ends = { 'is terminated': '', 'calls process.exit()': 'process.exit()', throws: `throw new Error('end')` } as const;

for (const [how, end] of Object.entries(ends)) {
  test(`a worker that holds an address ${how} → its descriptors are closed, and the next start succeeds`, onLinux, async (t) => {
    const directory = temporaryDirectory(t);
    for (const [index, { does, takesOver = false, abstract = false }] of lives.entries()) {
      const address = abstract ? `@workers-${process.pid}-${how}-${index}` : `${directory}/${index}.sock`;
      const before = openDescriptors();
      if (takesOver) await listen(net.createServer(), address, { handover: true });
      await runWorker(t, does, address, end);
      await until(() => openDescriptors() <= before);
      const next = await claim(address);
      await next.release();
      assert.ok(openDescriptors() <= before, does);
    }
  });
}

/** Runs a worker until it holds the address, and then to its end. */
async function runWorker(t: TestContext, does: string, address: string, end: string): Promise<void> {
  const code = `import net from 'node:net';
    import { parentPort, workerData as address } from 'node:worker_threads';
    const { claim, listen } = await import(${JSON.stringify(library)});
    const held = await ${does};
    parentPort.on('message', () => { ${end} });
    parentPort.postMessage(held.address);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), { workerData: address });
  t.after(() => worker.terminate());
  const exited = new Promise((resolve) => worker.once('exit', resolve));
  await once(worker, 'message');
  worker.on('error', () => undefined);
  if (end === '') await worker.terminate();
  else worker.postMessage('end');
  await exited;
}
