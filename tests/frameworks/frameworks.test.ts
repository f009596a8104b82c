/**
 * Every statement of docs/frameworks.md is part of a program that runs: it serves, survives
 * SIGKILL, and hands over where the page says so.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { connect, listen, SocketAddressError } from 'reuseaddr';
import { root } from '../readme/examples.js';
import { installPackages } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';

const page = fs.readFileSync(join(root, 'docs/frameworks.md'), 'utf8');
const clients: Readonly<Record<string, string>> = { grpc: 'grpc-js', trpc: 'trpc', ws: 'ws', 'socket.io': 'socket.io' };
const sources = fileURLToPath(new URL('../../../tests/programs/fixtures', import.meta.url));
const names = fs.readdirSync(join(sources, 'frameworks')).map((file) => file.replace(/\.mjs$/, ''));

/** The rows of the page's tables: a framework, and statements of its program. */
const rows = [...page.matchAll(/^\| ([\w.]+) \| (`(?:await|const|for|injector).*`) \|$/gm)].map(
  ([, framework = '', statements = '']) => ({
    name: framework.toLowerCase(),
    statements: statements.split('` `').map((statement) => statement.replaceAll('`', '')),
  }),
);

describe('docs/frameworks.md', () => {
  let home = '';
  let fixtures = '';

  before(async () => {
    home = await installPackages('programs');
    fixtures = fs.mkdtempSync(join(home, 'frameworks-'));
    fs.cpSync(join(sources, 'clients'), join(fixtures, 'clients'), { recursive: true });
    fs.cpSync(join(sources, 'frameworks'), join(fixtures, 'frameworks'), { recursive: true });
    fs.mkdirSync(join(fixtures, 'node_modules'));
    fs.symlinkSync(root, join(fixtures, 'node_modules/reuseaddr'));
  });
  after(() => fs.rmSync(fixtures, { recursive: true, force: true }));

  test('has statements of every program, and no others', () => {
    assert.deepEqual([...new Set(rows.map(({ name }) => name))].sort(), names.toSorted());
    for (const { name, statements } of rows) {
      const text = fs.readFileSync(join(sources, 'frameworks', `${name}.mjs`), 'utf8');
      for (const statement of statements) assert.ok(text.includes(statement), `${name}: ${statement}`);
    }
  });

  for (const name of names) {
    test(`${name}: asked, killed, started again, asked again`, async (t) => {
      const path = join(temporaryDirectory(t), 'socket');
      const { ask } = await client<{ ask(path: string): Promise<string> }>(name);

      const first = start(t, name, path);
      await accepts(path, first);
      assert.equal(await ask(path), `hello from ${first.pid}`);
      first.kill('SIGKILL');
      await once(first, 'exit');

      const second = start(t, name, path);
      await accepts(path, second);
      assert.equal(await ask(path), `hello from ${second.pid}`);
    });
  }

  test('an application in place of its server → refused, with how to write it; nothing is made, and no process ends', async (t) => {
    const directory = temporaryDirectory(t);
    const { resolve } = createRequire(join(home, 'package.json'));
    const load = async (name: string): Promise<Record<string, unknown>> =>
      (await import(pathToFileURL(resolve(name)).href)) as Record<string, unknown>;
    const [express, koa, fastify, hono, io] = await Promise.all(['express', 'koa', 'fastify', 'hono', 'socket.io'].map(load));
    const call = (made: unknown): unknown => (made as () => unknown)();
    const construct = (made: unknown, ...args: readonly unknown[]): unknown =>
      Reflect.construct(made as () => unknown, args) as unknown;
    const applications: readonly (readonly [application: unknown, advice: string])[] = [
      [call(express?.['default']), 'listen(createServer(app), …)'],
      [construct(koa?.['default']), 'createServer(app.callback())'],
      [call(fastify?.['default']), 'listen(app.server, …)'],
      [construct(hono?.['Hono']), 'createAdaptorServer(app)'],
      [construct(io?.['Server'], createServer()), 'listen(io.httpServer, …)'],
    ];
    for (const [application, advice] of applications) {
      const error: unknown = await listen(application as Server, join(directory, 'app.sock')).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof SocketAddressError && error.code === 'ERR_INVALID_ARG_TYPE', String(error));
      assert.ok(error.message.includes(advice), error.message);
    }
    assert.deepEqual(fs.readdirSync(directory), []);
  });

  test('ws: at a handover an open connection is closed with 1012, and the client finds the new process', async (t) => {
    const path = join(temporaryDirectory(t), 'socket');
    const { ask, open } = await client<{
      ask(path: string): Promise<string>;
      open(path: string): Promise<NodeJS.EventEmitter>;
    }>('ws');
    const old = start(t, 'ws', path);
    await accepts(path, old);
    const socket = await open(path);
    const ended = once(old, 'exit');
    const closed = once(socket, 'close');
    const next = start(t, 'ws', path);
    const [status] = (await closed) as [number];
    assert.equal(status, 1012);
    assert.equal(await ask(path), `hello from ${next.pid}`);
    await ended;
  });

  async function client<Client>(name: string): Promise<Client> {
    return (await import(pathToFileURL(join(fixtures, 'clients', `${clients[name] ?? 'http'}.mjs`)).href)) as Client;
  }

  function start(t: TestContext, name: string, path: string): ChildProcess {
    const program = join(fixtures, 'frameworks', `${name}.mjs`);
    const child = spawn(process.execPath, [program], {
      env: { ...process.env, SOCKET: path },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    return child;
  }
});

/** Waits until the program accepts; fails if it ends before. */
async function accepts(path: string, child: ChildProcess): Promise<void> {
  const gaveUp = new AbortController();
  child.once('exit', () => gaveUp.abort(new Error('the program has ended')));
  (await connect(path, { timeout: Infinity, signal: gaveUp.signal })).destroy();
}
