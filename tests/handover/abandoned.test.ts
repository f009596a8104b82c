import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { listen } from 'reuseaddr';
import { leftOpen, temporaryDirectory } from '../support/directory.js';
import { fixtureBeside, Program } from '../support/program.js';

const program = fixtureBeside(import.meta.url, 'server.mjs');

/** How many turns of the event loop a handover takes, and then some. */
const turnsMax = 40;

test('the holder releases and the newcomer gives up, at every distance from each other, 200 times → nothing is left but the lock file', async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  for (let round = 0; round < 200; round++) {
    const held = await listen(net.createServer(), address, { handover: true });
    const controller = new AbortController();
    const asking = listen(net.createServer(), address, { takeover: true, signal: controller.signal }).catch(() => undefined);
    const first = round % turnsMax;
    const between = Math.floor(round / turnsMax) - 2;
    for (let turn = 0; turn < first; turn++) await setImmediate();
    const ends = [() => void held.release(), () => controller.abort()];
    if (between < 0) ends.reverse();
    ends[0]!();
    for (let turn = 0; turn < Math.abs(between); turn++) await setImmediate();
    ends[1]!();
    await held.release();
    await (await asking)?.release();
    assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock'], `round ${round}`);
  }
  assert.deepEqual(leftOpen(directory), []);
});

test('the newcomer has given up, and the holder releases before it can notice, at every step of a handover → likewise', async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  for (let round = 0; round < 3 * turnsMax; round++) {
    const held = await listen(net.createServer(), address, { handover: true });
    const controller = new AbortController();
    const asking = listen(net.createServer(), address, { takeover: true, signal: controller.signal }).catch(() => undefined);
    for (let turn = 0; turn < round % turnsMax; turn++) await setImmediate();
    controller.abort();
    const taken = await asking;
    await held.release();
    await taken?.release();
    assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock'], `round ${round}`);
  }
});

test('the same between two processes, and the newcomer is told by a message → likewise', async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  const [holder, newcomer] = await Promise.all([Program.start(t, { program }), Program.start(t, { program })]);
  for (let round = 0; round < 50; round++) {
    await holder.ask('listen', { address, options: { handover: true } });
    const asking = newcomer.ask('listen', { address, options: { takeover: round % 10 } }).catch(() => undefined);
    for (let turn = 0; turn < round; turn++) await setImmediate();
    await holder.ask('release', { address });
    await asking;
    await newcomer.ask('release', { address }).catch(() => undefined);
    assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock'], `round ${round}`);
  }
});
