import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { claim, type SocketAddressError } from 'reuseaddr';
import { snapshot, temporaryDirectory } from '../support/directory.js';
import { Program } from '../support/program.js';

test('lockFile: remove → nothing is left after a release; keep, the default → the lock file', async (t) => {
  const directory = temporaryDirectory(t);
  for (const [options, left] of [
    [{ lockFile: 'remove' }, []],
    [{}, ['app.sock.lock']],
    [{ lockFile: 'keep' }, ['app.sock.lock']],
    [{ lockFile: 'remove' }, []],
  ] as const) {
    await (await claim(`${directory}/app.sock`, options)).release();
    assert.deepEqual(fs.readdirSync(directory), left);
  }
});

test('lockFile: remove, and the process exits → nothing is left; it is killed → the next start removes all', async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  const options = { lockFile: 'remove' };
  const program = await Program.start(t);
  await program.ask('claim', { address, options });
  await program.kill();
  assert.deepEqual(fs.readdirSync(directory), ['app.sock', 'app.sock.lock']);
  const next = await Program.start(t);
  await next.ask('claim', { address, options });
  assert.equal(await next.end('exit'), 7);
  assert.deepEqual(fs.readdirSync(directory), []);
});

test('lockFile: remove, and another file was put at the lock path → it stays', async (t) => {
  const directory = temporaryDirectory(t);
  const held = await claim(`${directory}/app.sock`, { lockFile: 'remove' });
  fs.renameSync(`${directory}/app.sock.lock`, `${directory}/moved`);
  fs.writeFileSync(`${directory}/app.sock.lock`, '');
  await held.release();
  assert.deepEqual(Object.keys(snapshot(directory)), ['app.sock.lock', 'moved']);
});

test('lockFile is another word, or the address has no lock file → refused before anything is made', async (t) => {
  const directory = temporaryDirectory(t);
  const wrong = async (address: string, lockFile: unknown): Promise<readonly unknown[]> =>
    await claim(address, { lockFile } as object).then(
      () => assert.fail('it is wrong'),
      (error: unknown) => [(error as SocketAddressError).code, (error as SocketAddressError).reason],
    );
  assert.deepEqual(await wrong(`${directory}/app.sock`, 'unlink'), ['EINVAL', 'bad-option']);
  if (process.platform === 'linux') assert.deepEqual(await wrong('@app', 'remove'), ['EINVAL', 'bad-option']);
  assert.deepEqual(fs.readdirSync(directory), []);
});
