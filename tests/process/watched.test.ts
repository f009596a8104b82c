import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { until } from '../support/waits.js';

test('a program is started again and again in a directory that is watched → no event of its lock file', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  const first = await Program.start(t, { quiet: true });
  await first.ask('listen', { address });
  const size = fs.statSync(`${address}.lock`).size;

  const events: string[] = [];
  const watcher = fs.watch(directory, (_event, name) => events.push(String(name)));
  t.after(() => watcher.close());
  await first.end('exit');
  for (const end of ['SIGKILL', 'exit'] as const) {
    const next = await Program.start(t, { quiet: true });
    await next.ask('listen', { address });
    assert.match(fs.readFileSync(`${address}.lock`, 'utf8'), new RegExp(`"pid":${next.pid},`));
    await (end === 'exit' ? next.end(end) : next.kill());
  }
  // Events come in their order, so those before this one have come.
  fs.writeFileSync(`${directory}/last`, '');
  await until(() => events.includes('last'));
  assert.ok(events.includes('app.sock'), 'the watcher works');
  assert.deepEqual(
    events.filter((name) => name === 'app.sock.lock'),
    [],
  );
  assert.equal(fs.statSync(`${address}.lock`).size, size);
});
