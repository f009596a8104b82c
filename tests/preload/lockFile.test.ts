/**
 * The files that a preloaded program leaves in a directory: a program that uses a new name each
 * time must leave nothing.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { listen } from 'reuseaddr';
import { temporaryDirectory } from '../support/directory.js';

const register = import.meta.resolve('reuseaddr/register');

/** Runs a program with `net`, `fs` and `path` in scope, under the preload. */
function run(path: string, program: string): string {
  const args = [
    '--import',
    register,
    '-e',
    `const [net, fs] = [require('net'), require('fs')], path = process.argv[1]; ${program}`,
    path,
  ];
  const env = { ...process.env, NODE_OPTIONS: '', REUSEADDR: '' };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
  return `${status} ${stdout}${stderr}`;
}

for (const [name, program] of [
  ['closes its server', "const s = net.createServer().listen(path, () => s.close(() => process.stdout.write('closed')));"],
  ['exits while it listens', "net.createServer().listen(path, () => { process.stdout.write('closed'); process.exit(); });"],
] as const)
  test(`a program ${name} → nothing is left; a lock file that was there before stays`, async (t) => {
    const directory = temporaryDirectory(t);
    const path = join(directory, 'socket');
    assert.equal(run(path, program), '0 closed');
    assert.deepEqual(fs.readdirSync(directory), []);
    await (await listen(net.createServer(), path)).release();
    assert.equal(run(path, program), '0 closed');
    assert.deepEqual(fs.readdirSync(directory), ['socket.lock']);
  });

test('a program removes its own temporary directory when its server has closed → it succeeds', (t) => {
  const directory = temporaryDirectory(t);
  const tidy = `const own = fs.mkdtempSync(path + '/tool-');
    const s = net.createServer().listen(own + '/s', () => s.close(() => { fs.rmdirSync(own); process.stdout.write('removed'); }));`;
  assert.equal(run(directory, tidy), '0 removed');
  assert.deepEqual(fs.readdirSync(directory), []);
});
