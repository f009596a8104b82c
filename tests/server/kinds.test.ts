import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { abstractName } from '../support/abstract.js';
import { leftOpen, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { exerciseKind } from './every-kind.js';
import { kinds } from './kinds.js';

const rounds = 'listens, answers, keeps its address, closes and listens again';

for (const kind of Object.keys(kinds)) {
  test(`a ${kind} server on a path → ${rounds}`, async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    await exerciseKind(kind, address, address);
  });

  test(`a ${kind} server on an abstract name → ${rounds}`, onLinux, async () => {
    const { address, nodePath } = abstractName();
    await exerciseKind(kind, address, nodePath);
  });

  test(`a ${kind} server on a path, in a worker thread → ${rounds}`, async (t) => {
    const directory = temporaryDirectory(t);
    const address = `${directory}/app.sock`;
    const worker = new Worker(new URL('./every-kind.js', import.meta.url), { workerData: { kind, address, nodePath: address } });
    const [[said]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
    assert.equal(said, 'done');
    assert.deepEqual(leftOpen(directory), []);
  });
}
