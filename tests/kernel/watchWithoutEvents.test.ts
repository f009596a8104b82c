import assert from 'node:assert/strict';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { mock, test } from 'node:test';
import { AT_FDCWD } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { temporaryDirectory } from '../support/directory.js';

// The package keeps the timers that it finds when it is loaded, so it is loaded after these.
mock.timers.enable({ apis: ['setInterval'] });
const { watchLockFile } = await import('#dist/kernel/watch.js');

test('the kernel has no events left → the next look finds the removal; a watch that has ended finds nothing', (t) => {
  const path = `${temporaryDirectory(t)}/lock`;
  fs.writeFileSync(path, '');
  const fd = kernel.openat(AT_FDCWD, path, 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0) as number;
  t.after(() => kernel.close(fd));
  t.mock.method(fs, 'watch', () => {
    throw Object.assign(new Error('no inotify instance left'), { code: 'EMFILE' });
  });
  syncBuiltinESMExports();
  const told: string[] = [];
  watchLockFile(path, fd, () => told.push('first'));
  const stop = watchLockFile(path, fd, () => told.push('second'));
  mock.timers.tick(2000);
  assert.deepEqual(told, []);
  stop();
  fs.unlinkSync(path);
  mock.timers.tick(1000);
  assert.deepEqual(told, ['first']);
  t.mock.restoreAll();
  syncBuiltinESMExports();
});
