import assert from 'node:assert/strict';
import fs from 'node:fs';
import { once } from 'node:events';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { listen } from 'reuseaddr';
import { kinds } from './kinds.js';

/**
 * Has a server of this kind listen, answer, be refused a second time, close, and listen again.
 * Throws where anything is amiss.
 */
export async function exerciseKind(name: string, address: string, nodePath: string): Promise<void> {
  const kind = kinds[name]!;
  const server = kind.create(`${name} on ${address}`);
  let listening = 0;
  server.on('listening', () => listening++);
  for (let round = 1; round <= 2; round++) {
    const claim = await listen(server, address);
    assert.deepEqual([server.listening, server.address(), claim.address, listening], [true, address, address, round]);
    assert.equal(await kind.request(nodePath), `${name} on ${address}`);
    await assert.rejects(listen(server, address), { code: 'ERR_SERVER_ALREADY_LISTEN', reason: 'already-listening' });
    await assert.rejects(listen(kind.create(''), address), { code: 'EADDRINUSE', reason: 'held' });
    assert.equal(await kind.request(nodePath), `${name} on ${address}`, 'a refused start disturbs nothing');
    const closed = once(server, 'close');
    if (round === 1) server.close();
    else await claim.release();
    await closed;
    assert.equal(server.listening, false);
    if (claim.lockPath !== undefined) assert.deepEqual([fs.existsSync(address), fs.existsSync(claim.lockPath)], [false, true]);
  }
}

interface Exercise {
  readonly kind: string;
  readonly address: string;
  readonly nodePath: string;
}

if (!isMainThread) {
  const { kind, address, nodePath } = workerData as Exercise;
  await exerciseKind(kind, address, nodePath);
  parentPort?.postMessage('done');
}
