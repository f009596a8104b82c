import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** The files below a folder in which something is written, outside of comments. */
function filesWith(folder: string, pattern: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|c|h)$/.test(file))
    .filter((file) => {
      const text = readFileSync(join(root, folder, file), 'utf8');
      return pattern.test(text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, ''));
    });
}

test('a descriptor is closed in one place: of the addon, and of the code that calls it', () => {
  assert.deepEqual(filesWith('native', /(?<![\w.>])close\(/), ['owned.c']);
  assert.deepEqual(filesWith('src', /\baddon\(\)\.(close|give|owns)\(/), ['kernel/descriptor.ts']);
});

test('no descriptor of a claim is opened or closed by node:fs, which would be another owner', () => {
  // The directory of a socket of `reuseaddr run`, which that file opens and closes.
  assert.deepEqual(filesWith('src', /\b(openSync|closeSync|fs\.open|fs\.close)\(/), ['run/hiddenSocket.ts']);
});

test('every function of the addon that gives a descriptor registers it', () => {
  // Calls that open one in C: each file that makes one either registers the result, or closes it
  // before it returns.
  const opening = filesWith(
    'native',
    /(?<![\w.])(openat|open|socket|ioctl|recvmsg|pipe2?|dup3?|F_DUPFD_CLOEXEC|syscall\(pidfd_open)\b/,
  );
  const kept = filesWith('native', /(?<![\w.])(owned|own|discard)\(/);
  assert.deepEqual(
    opening.filter((file) => !kept.includes(file)),
    [],
  );
});
