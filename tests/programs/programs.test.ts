import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { installPackages } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';

/**
 * Each program, and which client asks it: `fixtures/<program>.mjs`,
 * `fixtures/clients/<client>.mjs`.
 */
const programs = [
  { name: 'http', packages: [], client: 'http' },
  { name: 'express', packages: ['express'], client: 'http' },
  { name: 'fastify', packages: ['fastify'], client: 'http' },
  { name: 'koa', packages: ['koa'], client: 'http' },
  { name: 'hono', packages: ['hono', '@hono/node-server'], client: 'http' },
  { name: 'ws', packages: ['ws'], client: 'ws' },
  { name: 'socket.io', packages: ['socket.io'], client: 'socket.io' },
  { name: 'grpc-js', packages: ['@grpc/grpc-js'], client: 'grpc-js' },
  { name: 'vscode-jsonrpc', packages: ['vscode-jsonrpc'], client: 'vscode-jsonrpc' },
] as const;

const sources = fileURLToPath(new URL('../../../tests/programs/fixtures', import.meta.url));
const docs = fileURLToPath(new URL('../../../docs/preload.md', import.meta.url));
const register = import.meta.resolve('reuseaddr/register');

describe('a program as its users write it, under the preload', () => {
  let home = '';
  /** A copy of the sources, from which the packages are found. */
  let fixtures = '';

  before(async () => {
    home = await installPackages('programs');
    fixtures = fs.mkdtempSync(join(home, 'fixtures-'));
    fs.cpSync(sources, fixtures, { recursive: true });
  });
  after(() => fs.rmSync(fixtures, { recursive: true, force: true }));

  for (const program of programs) {
    test(`${program.name}: asked, killed, started again, asked again, and a second one is refused`, async (t) => {
      const path = join(temporaryDirectory(t), 'socket');
      const { ask } = (await import(pathToFileURL(join(fixtures, 'clients', `${program.client}.mjs`)).href)) as {
        ask(path: string): Promise<string>;
      };

      const first = start(t, join(fixtures, `${program.name}.mjs`), path);
      await first.ready;
      assert.match(await ask(path), new RegExp(`hello from ${first.pid}$`));

      first.child.kill('SIGKILL');
      await first.ended;
      assert.ok(fs.lstatSync(path).isSocket(), 'a killed program leaves its socket file');

      const next = start(t, join(fixtures, `${program.name}.mjs`), path);
      await next.ready;
      assert.match(await ask(path), new RegExp(`hello from ${next.pid}$`));

      const second = start(t, join(fixtures, `${program.name}.mjs`), path);
      const { status, complaint } = await second.ended;
      assert.notEqual(status, 0, 'a second one must not run');
      assert.match(complaint, /EADDRINUSE/);
      assert.match(complaint, new RegExp(`[Pp]rocess ${next.pid} `), 'it is told who has the address');
      assert.match(await ask(path), new RegExp(`hello from ${next.pid}$`));
    });
  }

  test('docs/preload.md → names the packages that were run', () => {
    const text = fs.readFileSync(docs, 'utf8');
    for (const each of programs.flatMap(({ packages }) => packages)) assert.ok(text.includes(each), each);
  });

  after(() => {
    const rows = programs.map(
      ({ name, packages }) =>
        `  ${name.padEnd(16)}${packages.map((each) => `${each} ${versionOf(home, each)}`).join(', ') || `Node ${process.versions.node}`}`,
    );
    console.log(rows.join('\n'));
  });
});

interface Started {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Fulfilled when it has printed `ready`; rejected when it ends before. */
  readonly ready: Promise<void>;
  readonly ended: Promise<{ readonly status: number | string; readonly complaint: string }>;
}

function start(t: TestContext, program: string, path: string): Started {
  const child = spawn(process.execPath, ['--import', register, program], {
    env: { ...process.env, SOCKET: path, REUSEADDR: '', NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  const ended = once(child, 'close').then(([code, signal]) => ({ status: (code ?? signal) as number | string, complaint }));
  const ready = Promise.race([
    once(child.stdout, 'data').then(([text]) => assert.equal(String(text), 'ready\n')),
    ended.then(({ status }) => assert.fail(`${program} ended with ${status}: ${complaint}`)),
  ]);
  ready.catch(() => undefined); // A second one is not waited for.
  return { child, pid: child.pid!, ready, ended };
}

function versionOf(home: string, name: string): string {
  const manifest = JSON.parse(fs.readFileSync(join(home, 'node_modules', name, 'package.json'), 'utf8')) as {
    readonly version: string;
  };
  return manifest.version;
}
