/**
 * Every call and every example of docs/frameworks.md runs: it serves, survives SIGKILL, and hands
 * over where the page says so.
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
import { examplesOf, root } from '../readme/examples.js';
import { installPackages } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';

const page = fs.readFileSync(join(root, 'docs/frameworks.md'), 'utf8');
const examples = examplesOf(page).filter(({ language }) => language === 'js');
const clients: Readonly<Record<string, string>> = { gRPC: 'grpc-js', tRPC: 'trpc', ws: 'ws', 'Socket.IO': 'socket.io' };
const sources = fileURLToPath(new URL('../../../tests/programs/fixtures/clients', import.meta.url));
const programs = fileURLToPath(new URL('../../../tests/programs/fixtures/frameworks', import.meta.url));

/** The rows of the page's table: a framework, and its calls. */
const rows = [...page.matchAll(/^\| (\w+) \| (`await .*`) \|$/gm)].map(([, framework = '', calls = '']) => ({
  framework,
  calls: calls.split('` `').map((call) => call.replaceAll('`', '')),
}));

describe('docs/frameworks.md', () => {
  let home = '';
  let fixtures = '';

  before(async () => {
    home = await installPackages('programs');
    fixtures = fs.mkdtempSync(join(home, 'frameworks-'));
    fs.cpSync(sources, fixtures, { recursive: true });
    fs.mkdirSync(join(fixtures, 'node_modules'));
    fs.symlinkSync(root, join(fixtures, 'node_modules/reuseaddr'));
  });
  after(() => fs.rmSync(fixtures, { recursive: true, force: true }));

  test('has the very calls that the programs make', () => {
    assert.deepEqual(rows.map(({ framework }) => `${framework.toLowerCase()}.mjs`).sort(), fs.readdirSync(programs).sort());
    for (const { framework, calls } of rows) {
      const text = fs.readFileSync(join(programs, `${framework.toLowerCase()}.mjs`), 'utf8');
      for (const call of calls) assert.ok(text.includes(call), `${framework}: ${call}`);
    }
    assert.deepEqual(
      examples.map(({ heading }) => heading),
      ['gRPC', 'ws', 'Socket.IO'],
    );
  });

  const served = [
    ...rows.map(({ framework }) => ({
      name: framework,
      text: fs.readFileSync(join(programs, `${framework.toLowerCase()}.mjs`), 'utf8'),
    })),
    ...examples.map(({ heading, text }) => ({ name: heading, text })),
  ];
  for (const { name, text } of served) {
    test(`${name}: asked, killed, started again, asked again`, async (t) => {
      const path = join(temporaryDirectory(t), 'socket');
      const program = join(fixtures, `example-${name}.mjs`);
      fs.writeFileSync(program, text.replaceAll('/run/app.sock', path).replace('process.env.SOCKET', JSON.stringify(path)));
      const { ask } = (await import(pathToFileURL(join(fixtures, `${clients[name] ?? 'http'}.mjs`)).href)) as {
        ask(path: string): Promise<string>;
      };

      const first = start(t, program);
      await accepts(path, first);
      assert.equal(await ask(path), `hello from ${first.pid}`);
      first.kill('SIGKILL');
      await once(first, 'exit');

      const second = start(t, program);
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
    const program = join(fixtures, 'handover.mjs');
    const text = examples.find(({ heading }) => heading === 'ws')?.text ?? '';
    fs.writeFileSync(program, text.replaceAll('/run/app.sock', path));
    const { ask, open } = (await import(pathToFileURL(join(fixtures, 'ws.mjs')).href)) as {
      ask(path: string): Promise<string>;
      open(path: string): Promise<NodeJS.EventEmitter>;
    };
    const old = start(t, program);
    await accepts(path, old);
    const socket = await open(path);
    const ended = once(old, 'exit');
    const closed = once(socket, 'close');
    const next = start(t, program);
    const [status] = (await closed) as [number];
    assert.equal(status, 1012);
    assert.equal(await ask(path), `hello from ${next.pid}`);
    await ended;
  });
});

function start(t: TestContext, program: string): ChildProcess {
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'inherit', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

/** Waits until the program accepts; fails if it ends before. */
async function accepts(path: string, child: ChildProcess): Promise<void> {
  const gaveUp = new AbortController();
  child.once('exit', () => gaveUp.abort(new Error('the program has ended')));
  (await connect(path, { timeout: Infinity, signal: gaveUp.signal })).destroy();
}
