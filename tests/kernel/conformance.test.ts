import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { run } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { simulatedKernel } from '../simulation/simulatedKernel.js';
import { emptyWorld, putFile } from '../simulation/world.js';
import { temporaryDirectory } from '../support/directory.js';
import { comparable, conformance, type Conformance } from './conformance.js';

const linux = process.platform === 'linux';

for (const scenario of conformance) {
  test(`both kernels agree: ${scenario.name}`, { skip: !linux && 'the simulated kernel is a Linux' }, (t) => {
    const d = temporaryDirectory(t);
    const umask = process.umask(0o022);
    t.after(() => process.umask(umask));
    assert.deepEqual(onRealKernel(scenario, d), onSimulatedKernel(scenario));
  });
}

function onRealKernel({ run: operation, files = [] }: Conformance, d: string): unknown {
  for (const [name, type, text] of files) {
    const path = `${d}/${name}`;
    if (type === 'directory') fs.mkdirSync(path);
    else if (type === 'symlink') fs.symlinkSync(text, path);
    else if (type === 'fifo') execFileSync('mkfifo', ['-m', '644', path]);
    else fs.writeFileSync(path, text);
  }
  return comparable(run(kernel, operation(d)), d);
}

function onSimulatedKernel({ run: operation, files = [] }: Conformance): unknown {
  const d = '/d';
  let world = emptyWorld(d, 1);
  for (const [name, type, text] of files) world = putFile(world, `${d}/${name}`, type, type === 'symlink' ? `${d}/${text}` : text);
  return comparable(run(simulatedKernel(world).kernel, operation(d)), d);
}
