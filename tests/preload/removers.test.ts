import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { peerCredentials } from 'reuseaddr';
import { installPackages } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';

interface Program {
  readonly name: string;
  readonly packages: readonly string[];
  /** The file name of its socket, for a program that chooses it by itself. */
  readonly socket?: string;
}

/** Packages that remove a socket file before they listen: `fixtures/removers/<program>.mjs`. */
const programs: readonly Program[] = [
  { name: 'node-ipc', packages: ['node-ipc'] },
  { name: 'achrinza-node-ipc', packages: ['@achrinza/node-ipc'] },
  { name: 'axon', packages: ['axon'] },
  { name: 'pm2-axon', packages: ['pm2-axon'] },
  { name: 'webpack-dev-server', packages: ['webpack-dev-server'] },
  { name: 'multiserver', packages: ['multiserver'] },
  { name: 'pm2', packages: ['pm2'] },
  { name: 'rspack-dev-server', packages: ['@rspack/dev-server'] },
  { name: 'verdaccio', packages: ['verdaccio'] },
  { name: 'chrome-devtools-mcp', packages: ['chrome-devtools-mcp'], socket: 'chrome-devtools-mcp/server.sock' },
];

const sources = fileURLToPath(new URL('../../../tests/programs/fixtures', import.meta.url));
const docs = fileURLToPath(new URL('../../../docs/preload.md', import.meta.url));
const register = import.meta.resolve('reuseaddr/register');

describe('a program that removes its socket file by itself, under the preload', () => {
  let home = '';
  let fixtures = '';

  before(async () => {
    home = await installPackages('programs');
    fixtures = fs.mkdtempSync(join(home, 'removers-'));
    fs.cpSync(sources, fixtures, { recursive: true });
  });
  after(() => fs.rmSync(fixtures, { recursive: true, force: true }));

  for (const { name, socket = 'socket' } of programs) {
    test(`${name}: a second one does not serve, the first one is reached, and a killed one is replaced`, async (t) => {
      const program = join(fixtures, 'removers', `${name}.mjs`);
      const path = join(temporaryDirectory(t), socket);
      const first = start(t, program, path);
      assert.equal(await first.said, 'ready\n');
      assert.equal(await whoAnswers(path), first.child.pid);

      const second = start(t, program, path);
      assert.match(await second.said, /^(ended|EADDRINUSE)/);
      assert.equal(await whoAnswers(path), first.child.pid);

      first.child.kill('SIGKILL');
      await once(first.child, 'exit');
      assert.ok(fs.lstatSync(path).isSocket(), 'a killed program leaves its socket file');
      const next = start(t, program, path);
      assert.equal(await next.said, 'ready\n');
      assert.equal(await whoAnswers(path), next.child.pid);
    });
  }

  test('docs/preload.md → names the packages that were run', () => {
    const text = fs.readFileSync(docs, 'utf8');
    for (const each of programs.flatMap(({ packages }) => packages)) assert.ok(text.includes(each), each);
  });
});

interface Started {
  readonly child: ChildProcess;
  /** The first thing that it prints, or how it ended before. */
  readonly said: Promise<string>;
}

function start(t: TestContext, program: string, path: string): Started {
  const env = { ...process.env, SOCKET: path, REUSEADDR: '', NODE_OPTIONS: '' };
  const child = spawn(process.execPath, ['--import', register, program], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  const printed = once(child.stdout, 'data').then(([text]) => String(text));
  const ended = once(child, 'exit').then(([code, signal]) => `ended with ${code ?? signal}: ${complaint}`);
  return { child, said: Promise.race([printed, ended]) };
}

/** The process at the other end of a new connection. */
async function whoAnswers(path: string): Promise<number> {
  const socket = net.connect(path);
  await once(socket, 'connect');
  const { pid } = peerCredentials(socket);
  socket.destroy();
  return pid;
}
