import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { test } from 'node:test';
import { addon, type FileIdentity } from '#dist/kernel/addon.js';
import { openDescriptors } from '../support/directory.js';

const kernelUrl = import.meta.resolve('#dist/kernel/posix.js');
const onLinux = { skip: process.platform !== 'linux' && 'only Linux has it' };
const notAnArgument = { code: 'ERR_INVALID_ARG_TYPE', name: 'TypeError' };

test('the kernel is imported and not used → the addon is not loaded', () => {
  const script = `await import(${JSON.stringify(kernelUrl)});
    console.log(process.report.getReport().sharedObjects.some((file) => /reuseaddr.*\\.node$/.test(file)));`;
  assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).trim(), 'false');
});

test('there is no addon for the platform → the error says how to build one', () => {
  const script = `delete process.env.REUSEADDR_ADDON;
    Object.defineProperty(process, 'arch', { value: 'vax' });
    const { kernel } = await import(${JSON.stringify(kernelUrl)});
    try { kernel.socket(); } catch (error) { console.log(error.code, error.message); }`;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  assert.match(said, /^ERR_REUSEADDR_ADDON Cannot load .*-vax: .*npm run build/);
});

test('an argument of the wrong type → a TypeError, and no descriptor is touched', () => {
  const loose = addon() as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const notAnInteger of [undefined, null, '1', NaN, Infinity, 1.5, 2 ** 32 + 1, 1n]) {
    assert.throws(() => loose['close']!(notAnInteger), notAnArgument);
    assert.throws(() => loose['flock']!(notAnInteger, 6), notAnArgument);
    assert.throws(() => loose['listen']!(1, notAnInteger), notAnArgument);
  }
  assert.throws(() => loose['bind']!(1), notAnArgument);
  assert.throws(() => loose['probe']!(Buffer.from('/x')), notAnArgument);
  assert.throws(() => loose['sockDiag']!(1, new Uint32Array(1)), notAnArgument);
  assert.throws(() => loose['sockDiag']!(1, new Float64Array(2)), notAnArgument);
  assert.throws(() => loose['peerCredentials']!(1, [0, 0, 0]), notAnArgument);
  assert.throws(() => loose['getpwuid']!(-1), notAnArgument);
  assert.throws(() => loose['fcntl']!(1, 'F_SETLKW', 0), notAnArgument);
  assert.throws(() => loose['fcntl']!(1, 'F_SETFD'), notAnArgument);
  assert.throws(() => loose['getsockopt']!(1, 1), notAnArgument);
  assert.throws(() => loose['sendmsg']!(1, 'x', [1]), notAnArgument);
  assert.throws(() => loose['recvmsg']!(1, 1, new Uint32Array(0)), notAnArgument);
  assert.throws(() => loose['recvmsg']!(1, 4097, new Uint32Array(1)), notAnArgument);
  assert.throws(() => loose['waitFlock']!(1), notAnArgument);
  assert.throws(() => loose['waitPoll']!(1, () => undefined, Infinity), notAnArgument);
});

test('a wait has ended, and its thread is gone → to call it off changes nothing, and closes nothing', onLinux, async () => {
  const fd = openSync('/dev/null', 'r');
  const { waitFlock, waitPoll } = addon();
  const begins = [
    (done: (result: number) => void) => waitFlock(fd, done),
    (done: (result: number) => void) => waitPoll(fd, done, 0),
  ];
  for (const begin of begins) {
    let callOff: unknown;
    const result = await new Promise((done) => {
      callOff = begin(done);
    });
    assert.equal(result, 0);
    assert.ok(typeof callOff === 'function');
    const before = openDescriptors();
    for (let i = 0; i < 3; i++) callOff();
    assert.equal(openDescriptors(), before);
  }
  closeSync(fd);
});

test('peerGroups: the array is too short → a count or ERANGE, and nothing is written behind it', onLinux, () => {
  const all = new Uint32Array(4).fill(7);
  const fd = addon().socket(1);
  assert.ok(addon().peerGroups(fd, all.subarray(0, 0)) <= 0);
  assert.deepEqual([...all], [7, 7, 7, 7]);
  assert.equal(addon().close(fd), 0);
  assert.ok(addon().close(fd) < 0);
});

test('sockDiag: a socket that the kernel does not find → ENOSYS, as that is not the same as bound to no file', onLinux, () => {
  const file = new Uint32Array(2) as FileIdentity;
  assert.equal(addon().sockDiag(2 ** 32 - 1, file), -constants.errno.ENOSYS);
  assert.deepEqual([...file], [0, 0]);
});
