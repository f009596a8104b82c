import assert from 'node:assert/strict';
import fs from 'node:fs';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { failed } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { root } from '../readme/examples.js';
import { temporaryDirectory } from '../support/directory.js';
import { until } from '../support/waits.js';
import { gone, program, Running } from './running.js';

/** The receivers: they append each message to a file as a line. */
export const receivers = {
  'in Python': (_address: string, file: string) => ['python3', `${root}examples/datagrams/receiver.py`, file],
  'in Node, with bind': (address: string, file: string) => [process.execPath, program('receiver.mjs'), address, file],
} as const;

/** How many messages are sent in a second. */
const perSecond = 1000;

/**
 * Sends messages to a program under `run --type=datagram` while SIGHUP replaces it again and again.
 * Each message must be in its file once.
 */
export async function replaceReceivers(t: TestContext, receiver: keyof typeof receivers, replacements: number): Promise<void> {
  const directory = temporaryDirectory(t);
  const [address, file] = [`${directory}/log.sock`, `${directory}/log`];
  fs.writeFileSync(file, '');
  const args = ['--verbose', '--type=datagram', address, '--', ...receivers[receiver](address, file)];
  const running = new Running(t, args);
  const ready = async (): Promise<number> => Number((await running.line(/^reuseaddr: Process (\d+) is ready\.$/))[1]);
  let pid = await ready();
  const sending = send(t, address);
  for (let time = 0; time < replacements; time++) {
    running.signal('SIGHUP');
    const next = await ready();
    await gone(pid);
    pid = next;
  }
  const sent = await sending.stop();
  const lines = (): readonly string[] => fs.readFileSync(file, 'utf8').split('\n').slice(0, -1);
  await until(() => lines().length >= sent);
  assert.equal(await running.stop(), 0);
  const numbers = lines().map(Number);
  assert.equal(new Set(numbers).size, numbers.length, 'none is read twice');
  assert.deepEqual(
    numbers.toSorted((one, other) => one - other),
    Array.from({ length: sent }, (_, index) => index),
    'none is lost',
  );
  t.diagnostic(`${receiver}: ${sent} datagrams, ${replacements} replacements`);
}

/** Sends numbers from 0 on, until it is stopped; gives how many it has sent. */
function send(t: TestContext, address: string): { stop(): Promise<number> } {
  const fd = kernel.connect(address, 'datagram');
  assert.ok(!failed(fd), String(fd));
  t.after(() => kernel.close(fd));
  let stopped = false;
  const sending = (async (): Promise<number> => {
    const startMs = performance.now();
    for (let sent = 0; ;) {
      if (stopped && sent > 0) return sent;
      const due = ((performance.now() - startMs) / 1000) * perSecond;
      // EAGAIN: the queue is full, because the machine is busy.
      while (sent < due) {
        const result = kernel.sendmsg(fd, String(sent), []);
        if (result === 'EAGAIN') break;
        assert.equal(result, String(sent).length);
        sent++;
      }
      await pause(5);
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      return await sending;
    },
  };
}
