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

const folders = ['programs', 'run/packages', 'explorer'] as const;

interface Program {
  readonly name: string;
  readonly packages: readonly string[];
  /** Its socket file, for a program that chooses the name by itself. */
  readonly socket?: string;
  /** The folder whose packages have it. */
  readonly folder?: (typeof folders)[number];
}

/**
 * The packages found that remove a socket file before they listen, with the downloads of a month,
 * in millions: `fixtures/removers/<program>.mjs`.
 *
 * Not run: nx (38), whose new daemon makes the old one end by a file, so it needs `REUSEADDR=wait`;
 * and verdaccio (2.0), for its size.
 */
const programs: readonly Program[] = [
  { name: 'playwright-core', packages: ['playwright-core'], socket: 'playwright/dashboard/app.sock', folder: 'explorer' }, // 146
  { name: 'tsx', packages: ['tsx'], socket: `tsx-${process.getuid?.()}/4711.pipe`, folder: 'run/packages' }, // 110
  { name: 'webpack-dev-server', packages: ['webpack-dev-server'] }, // 69
  { name: 'pm2', packages: ['pm2'] }, // 11
  { name: 'pm2-axon', packages: ['pm2-axon'] }, // 7.2
  { name: 'rspack-dev-server', packages: ['@rspack/dev-server'] }, // 6.1
  { name: 'node-ipc', packages: ['node-ipc'] }, // 3.0
  { name: 'achrinza-node-ipc', packages: ['@achrinza/node-ipc'] }, // 2.5
  { name: 'chrome-devtools-mcp', packages: ['chrome-devtools-mcp'], socket: 'chrome-devtools-mcp/server.sock' }, // 1.8
];

const sources = fileURLToPath(new URL('../../../tests/programs/fixtures', import.meta.url));
const docs = fileURLToPath(new URL('../../../docs/preload.md', import.meta.url));
const register = import.meta.resolve('reuseaddr/register');

describe('a program that removes its socket file by itself, under the preload', () => {
  /** Copies of the sources, from which the packages of each folder are found. */
  const fixtures = new Map<string, string>();

  before(async () => {
    for (const folder of folders) {
      const copy = fs.mkdtempSync(join(await installPackages(folder), 'removers-'));
      fixtures.set(folder, copy);
      fs.cpSync(sources, copy, { recursive: true });
    }
  });
  after(() => fixtures.forEach((copy) => fs.rmSync(copy, { recursive: true, force: true })));

  for (const { name, socket = 'socket', folder = 'programs' } of programs) {
    test(`${name}: a second one does not serve, the first one is reached, and a killed one is replaced`, async (t) => {
      const program = join(fixtures.get(folder)!, 'removers', `${name}.mjs`);
      const path = join(temporaryDirectory(t), socket);
      const first = start(t, program, path);
      assert.equal(await first.said, 'ready\n');
      assert.equal(await whoAnswers(path), first.child.pid);

      const second = start(t, program, path);
      assert.match(await second.said, /^(ended|EADDRINUSE|Dashboard is running)/);
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
  const child = spawn(process.execPath, ['--import', register, program], { env, stdio: 'pipe' });
  t.after(() => {
    child.kill('SIGKILL');
    child.stdin.destroy();
  });
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
