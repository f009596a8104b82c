import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once, type EventEmitter } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { installPackages } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { until } from '../support/waits.js';

const sources = fileURLToPath(new URL('../../../tests/programs/fixtures/watchers', import.meta.url));
const register = createRequire(import.meta.url).resolve('reuseaddr/register');

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

/** The names that docs/address.md tells a watcher to ignore. */
function namesOfPage(): readonly string[] {
  const page = fs.readFileSync(new URL('../../../docs/address.md', import.meta.url), 'utf8');
  const names = /watchers and git ignore (.*) and (.*)\./.exec(page)?.slice(1).join(', ') ?? '';
  const ignored = names.split(', ').map((name) => `**/${name.replaceAll('`', '')}`);
  assert.equal(ignored.length, 3, names);
  return ignored;
}

for (const tool of ['nodemon', 'pm2'])
  for (const [form, ignored] of [
    ['library', ['**/*.sock']],
    ['preload', namesOfPage()],
  ] as const)
    test(
      `${tool} watches the directory of a socket, ${form} → it restarts for the change of a file, and never for a restart`,
      onLinux,
      async (t) => {
        const processes = new Processes();
        // Before the directories are removed.
        t.after(() => processes.end());
        const copy = fs.mkdtempSync(join(await installPackages('programs'), 'watchers-'));
        t.after(() => fs.rmSync(copy, { recursive: true, force: true }));
        fs.cpSync(sources, copy, { recursive: true });
        const directory = temporaryDirectory(t);
        const control = `${temporaryDirectory(t)}/control`;
        await processes.listen(control);
        const execArgv = form === 'preload' ? ['--require', register] : [];
        const program = [join(copy, 'server.mjs'), form, `${directory}/app.sock`, control];
        // The first start of all makes the lock file.
        const first = processes.start(t, [...execArgv, ...program]);
        await until(() => processes.listened === 1 || first.ended);
        first.child.kill('SIGTERM');
        await once(first.child, 'exit');

        const options = [directory, JSON.stringify(ignored), JSON.stringify(execArgv)];
        const watcher = processes.start(t, [join(copy, `${tool}.mjs`), ...options, ...program]);
        const changes = (): readonly string[] =>
          [...watcher.output.matchAll(/Change detected on path (\S+)/g)].map(([, name = '']) => name);
        const changeUntil = async (isSo: () => boolean): Promise<void> => {
          const write = (): void => fs.writeFileSync(`${directory}/page.html`, String(Math.random()));
          write();
          // A watcher that is restarting the program does not look.
          const again = setInterval(write, 500);
          await until(() => isSo() || watcher.ended).finally(() => clearInterval(again));
        };
        await until(() => processes.listened === 2 || watcher.ended);
        for (const expected of [3, 4, 5]) await changeUntil(() => processes.listened >= expected);
        // Events come in their order: those of the last start before this one.
        const before = changes().length;
        await changeUntil(() => changes().length > before);
        assert.deepEqual([...new Set(changes())], ['page.html'], watcher.output);
        assert.ok(!watcher.ended, watcher.output);
      },
    );

/** The processes of a test, also those that a watcher has started. */
class Processes {
  /** How often a server has begun to listen. */
  listened = 0;
  readonly #children: ChildProcess[] = [];
  readonly #servers: { readonly connection: net.Socket; readonly ended: Promise<unknown> }[] = [];
  readonly #listener = net.createServer((connection) => {
    connection.on('data', () => this.listened++);
    this.#servers.push({ connection, ended: once(connection, 'close') });
  });

  async listen(path: string): Promise<void> {
    await once(this.#listener.listen(path), 'listening');
  }

  start(t: TestContext, args: readonly string[]) {
    const env = { ...process.env, NODE_OPTIONS: '', REUSEADDR: '', PM2_HOME: temporaryDirectory(t) };
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.push(child);
    const started = {
      child,
      output: '',
      get ended(): boolean {
        return child.exitCode !== null || child.signalCode !== null;
      },
    };
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        started.output += text;
      });
    return started;
  }

  async end(): Promise<void> {
    for (const child of this.#children) if (child.kill('SIGKILL')) await once(child, 'exit');
    this.#listener.close();
    for (const { connection, ended } of this.#servers) {
      connection.end();
      await ended;
    }
  }
}

test(
  'chokidar ignores the names in docs/address.md → restarts under the preload are no change, even for one that polls',
  onLinux,
  async (t) => {
    const home = await installPackages('programs');
    const { watch } = createRequire(join(home, 'package.json'))('chokidar') as Chokidar;
    const ignored = namesOfPage();
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
