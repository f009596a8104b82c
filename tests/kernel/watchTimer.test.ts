/**
 * The modules keep the timers that they were loaded with, so the test replaces these first, in a
 * file of its own.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { mock, test } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';

mock.timers.enable({ apis: ['setInterval'] });
const { AT_FDCWD } = await import('#dist/kernel/kernel.js');
const { kernel } = await import('#dist/kernel/posix.js');
const { watchLockFile } = await import('#dist/kernel/watchLockFile.js');

test('events are unavailable → the removal is found at the next look, unless the watching has ended', (t) => {
  const path = `${temporaryDirectory(t)}/lock`;
  fs.writeFileSync(path, '');
  const fd = kernel.openat(AT_FDCWD, path, 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0) as number;
  t.after(() => kernel.close(fd));
  t.mock.method(fs, 'watch', () => {
    throw Object.assign(new Error('no inotify instance left'), { code: 'EMFILE' });
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const told: string[] = [];
  watchLockFile(path, fd, () => told.push('first'));
  const stop = watchLockFile(path, fd, () => told.push('second'));
  mock.timers.tick(2000);
  assert.deepEqual(told, []);
  stop();
  fs.unlinkSync(path);
  mock.timers.tick(1000);
  assert.deepEqual(told, ['first']);
});
