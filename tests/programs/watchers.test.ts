import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once, type EventEmitter } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { installPackages } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { until } from '../support/waits.js';

/** The part of chokidar in use here. nodemon, pm2 and vite watch with it. */
interface Chokidar {
  watch(path: string, options: object): EventEmitter & { close(): Promise<void> };
}

test('chokidar ignores *.sock → it sees the first start make the lock file, and no restart', onLinux, async (t) => {
  const home = await installPackages('programs');
  const { watch } = createRequire(join(home, 'package.json'))('chokidar') as Chokidar;
  const directory = temporaryDirectory(t);
  const events: string[] = [];
  const watcher = watch(directory, { ignored: ['**/*.sock'], ignoreInitial: true });
  t.after(() => watcher.close());
  watcher.on('all', (event: string, path: string) => events.push(`${event} ${path.slice(directory.length + 1)}`));
  await once(watcher, 'ready');
  for (const [turn, end] of ['exit', 'exit', 'SIGKILL', 'exit'].entries()) {
    const program = await Program.start(t, { quiet: true });
    await program.ask('listen', { address: `${directory}/app.sock` });
    await (end === 'exit' ? program.end(end) : program.kill());
    // Events come in their order, so those before this one have come.
    fs.writeFileSync(`${directory}/${turn}`, '');
    await until(() => events.includes(`add ${turn}`));
  }
  const ofLock = (event: string): boolean => event.endsWith('app.sock.lock');
  // It looks at the file a little later, so an event of the first start may come in the second.
  const later = events.slice(events.indexOf('add 1'));
  assert.equal(events.find(ofLock), 'add app.sock.lock');
  assert.deepEqual(later.filter(ofLock), []);
});

test(
  'chokidar ignores the names in docs/address.md → restarts under the preload are no change, even for one that polls',
  onLinux,
  async (t) => {
    const home = await installPackages('programs');
    const { watch } = createRequire(join(home, 'package.json'))('chokidar') as Chokidar;
    const page = fs.readFileSync(new URL('../../../docs/address.md', import.meta.url), 'utf8');
    const names = /watchers and git ignore (.*) and (.*)\./.exec(page)?.slice(1).join(', ') ?? '';
    const ignored = names.split(', ').map((name) => `**/${name.replaceAll('`', '')}`);
    assert.equal(ignored.length, 3, names);
    const register = createRequire(import.meta.url).resolve('reuseaddr/register');
    const serve = `require('node:net').createServer().listen('app.sock', () => process.argv[1] === 'exit' ? process.exit() : process.kill(process.pid, 'SIGKILL'))`;
    for (const usePolling of [false, true]) {
      const directory = temporaryDirectory(t);
      const events: string[] = [];
      const watcher = watch(directory, { ignored, ignoreInitial: true, usePolling, interval: 20 });
      t.after(() => watcher.close());
      watcher.on('all', (event: string, path: string) => events.push(`${event} ${path.slice(directory.length + 1)}`));
      await once(watcher, 'ready');
      for (const [turn, end] of ['exit', 'exit', 'SIGKILL', 'exit'].entries()) {
        const args = ['--require', register, '-e', serve, end];
        const { stderr } = spawnSync(process.execPath, args, {
          cwd: directory,
          encoding: 'utf8',
          env: { ...process.env, NODE_OPTIONS: '' },
        });
        assert.equal(stderr, '');
        fs.writeFileSync(`${directory}/${turn}`, '');
        await until(() => events.includes(`add ${turn}`));
      }
      assert.deepEqual(events, ['add 0', 'add 1', 'add 2', 'add 3']);
    }
  },
);
