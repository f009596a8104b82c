import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect } from 'reuseaddr';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

const clients = 3_000;
const backlog = 16;

/**
 * Connects them all at once to a server that has just begun to be busy for 200 ms: how each ended.
 */
async function burst(t: TestContext, client: (path: string) => Promise<string>): Promise<readonly string[]> {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const fixture = fileURLToPath(new URL('../../../tests/client/fixtures/busy-server.mjs', import.meta.url));
  const server = fork(fixture, [path, String(backlog)]);
  t.after(() => server.kill('SIGKILL'));
  await once(server, 'message');
  server.send('busy');
  await once(server, 'message');
  return await Promise.all(Array.from({ length: clients }, () => client(path)));
}

/**
 * The first byte that a connected socket reads: the server's, so that it was accepted and not only
 * put into the backlog.
 */
async function greeted(socket: net.Socket): Promise<string> {
  const [heard] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return heard.toString();
}

async function plainConnect(path: string): Promise<string> {
  const socket = net.connect(path);
  try {
    await once(socket, 'connect');
    return await greeted(socket);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

async function patientConnect(path: string): Promise<string> {
  try {
    return await greeted(await connect(path, { timeout: 60_000 }));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

test(
  `${clients} clients at once, a backlog of ${backlog}, a busy server → net.connect loses some to EAGAIN`,
  onLinux,
  async (t) => {
    const outcomes = await burst(t, plainConnect);
    const lost = outcomes.filter((outcome) => outcome === 'EAGAIN').length;
    t.diagnostic(`net.connect: ${lost} of ${clients} lost to EAGAIN`);
    assert.ok(lost > 0);
  },
);

test(`${clients} clients at once, a backlog of ${backlog}, a busy server → connect loses none`, onLinux, async (t) => {
  const start = performance.now();
  const outcomes = await burst(t, patientConnect);
  t.diagnostic(
    `connect: ${outcomes.filter((outcome) => outcome !== '.').length} of ${clients} lost, all in ${Math.round(performance.now() - start)} ms`,
  );
  assert.deepEqual(
    outcomes.filter((outcome) => outcome !== '.'),
    [],
  );
});
