import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { socketTypeDefault, socketTypes, type SocketType } from '#dist/address/socketType.js';
import { perform, run, sys, talk, type FileStatus, type SystemCall } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { simulatedKernel } from '../simulation/simulatedKernel.js';
import { emptyWorld, putFile } from '../simulation/world.js';
import { temporaryDirectory } from '../support/directory.js';
import { conformance, type Conformance } from './conformance.js';

const linux = process.platform === 'linux';

const ofEveryType = conformance.flatMap((scenario) =>
  (scenario.everyType ? socketTypes : [socketTypeDefault]).map((type) => ({ scenario, type })),
);

for (const { scenario, type } of ofEveryType) {
  test(
    `both kernels agree: ${scenario.everyType ? `${type}: ` : ''}${scenario.name}`,
    { skip: !linux && 'the simulated kernel is a Linux' },
    (t) => {
      const d = temporaryDirectory(t);
      const umask = process.umask(0o022);
      t.after(() => process.umask(umask));
      assert.deepEqual(onRealKernel(scenario, type, d), onSimulatedKernel(scenario, type));
    },
  );
}

/** It takes another process, a user or a clock to compare these. */
const notCompared = ['accepting', 'fchownat', 'geteuid', 'peerCredentials', 'poll', 'readlink', 'recvmsg', 'sendmsg', 'sleep'];

test('every call of a kernel → is compared, or is in the list of those that cannot be', (t) => {
  const made = new Set<string>();
  const names = Object.keys({ ...sys, ...talk });
  const noting = Object.fromEntries(
    names.map((name) => [name, (...args: readonly unknown[]) => (made.add(name), perform(kernel, { name, args } as SystemCall))]),
  );
  for (const { scenario, type } of ofEveryType) {
    const d = temporaryDirectory(t);
    putFiles(scenario, d);
    run(noting as unknown as typeof kernel, scenario.run(d, type));
  }
  assert.deepEqual(names.filter((name) => !made.has(name)).toSorted(), notCompared);
});

function onRealKernel(scenario: Conformance, socketType: SocketType, d: string): unknown {
  putFiles(scenario, d);
  return comparable(run(kernel, scenario.run(d, socketType)), d);
}

function putFiles({ files = [] }: Conformance, d: string): void {
  for (const [name, type, text] of files) {
    const path = `${d}/${name}`;
    if (type === 'directory') fs.mkdirSync(path);
    else if (type === 'symlink') fs.symlinkSync(text, path);
    else if (type === 'fifo') execFileSync('mkfifo', ['-m', '644', path]);
    else fs.writeFileSync(path, text);
  }
}

function onSimulatedKernel({ run: operation, files = [] }: Conformance, socketType: SocketType): unknown {
  const d = '/d';
  let world = emptyWorld(d, 1);
  for (const [name, type, text] of files)
    world = putFile(world, `${d}/${name}`, type, type === 'symlink' ? `${d}/${text}` : text);
  return comparable(run(simulatedKernel(world).kernel, operation(d, socketType)), d);
}

/**
 * The facts on which two kernels must agree: of a file its type, mode, links and size, and which of
 * the files are one; of a path what is below the directory. Device, owner and the inode's very
 * number are each kernel's own.
 */
function comparable(answers: unknown, d: string): unknown {
  const known: bigint[] = [];
  const visit = (value: unknown): unknown => {
    if (typeof value === 'string') return value.replace(d, 'd');
    if (Array.isArray(value)) return value.map(visit);
    if (typeof value !== 'object' || value === null) return value;
    if (!('ino' in value)) return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, visit(part)]));
    const { ino, type, mode, nlink, size } = value as Partial<FileStatus>;
    if (!known.includes(BigInt.asUintN(32, ino!))) known.push(BigInt.asUintN(32, ino!));
    const which = known.indexOf(BigInt.asUintN(32, ino!));
    return type === undefined ? { which } : { which, type, mode, nlink, size: type === 'file' ? size : 0 };
  };
  return visit(answers);
}
