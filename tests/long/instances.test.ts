/** G7 with several instances, at length. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load, program, Running } from '../run/running.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

test('G7: 50 SIGHUPs with 3 instances under the load of 4 clients → none is refused, none reset', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const running = new Running(t, ['--instances=3', path, '--', process.execPath, program('server.mjs'), path]);
  for (let count = 0; count < 3; count++) await running.serving();
  const unload = await load(t, path, 4);
  for (let count = 0; count < 50; count++) {
    running.signal('SIGHUP');
    for (let index = 0; index < 3; index++) await running.line(/^reuseaddr: Process \d+ serves; stopping process \d+\.$/);
  }
  const { answered, refused, reset, wrong, codes } = await unload();
  t.diagnostic(`${answered} answered, ${refused} refused, ${reset} reset, ${wrong} wrong ${JSON.stringify(codes)}`);
  assert.deepEqual({ refused, reset, wrong }, { refused: 0, reset: 0, wrong: 0 });
  assert.equal(await running.stop(), 0);
});
