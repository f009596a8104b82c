import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../support/directory.js';
import { fixtureBeside } from '../support/program.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const program = fixtureBeside(import.meta.url, 'generation.mjs');

/**
 * Starts a cluster that takes the address over; gives its pid and its end once both of its workers
 * listen.
 */
async function generation(t: TestContext, path: string, ...options: readonly ('refork' | 'slow')[]) {
  const args = ['--import', 'reuseaddr/register', program, path, ...options];
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, REUSEADDR: 'takeover,handover' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let printed = '';
  let complained = '';
  child.stderr.on('data', (data: Buffer) => (complained += data.toString()));
  child.stdout.on('data', (data: Buffer) => (printed += data.toString()));
  // With the output closed, no worker is left either.
  const ended = once(child, 'close').then(([status, signal]) => ({ status: status ?? signal, printed, complained }) as const);
  while (!printed.includes('up'))
    await Promise.race([once(child.stdout, 'data'), ended.then(({ complained: why }) => assert.fail(why))]);
  return { child, pid: child.pid, ended };
}

/**
 * Asks one after the other until it is stopped. Any failure of a request is a failure of the test.
 */
class Client {
  readonly answeredBy = new Set<string>();
  readonly #agent: http.Agent;
  readonly #path: string;
  readonly #done: Promise<number>;
  #stopping = false;

  constructor(path: string, keepAlive: boolean) {
    this.#path = path;
    this.#agent = new http.Agent({ keepAlive });
    this.#done = this.#run();
  }

  async #run(): Promise<number> {
    let answered = 0;
    for (; !this.#stopping; answered++) this.answeredBy.add(await ask(this.#path, this.#agent));
    return answered;
  }

  async stop(): Promise<number> {
    this.#stopping = true;
    const answered = await this.#done;
    this.#agent.destroy();
    return answered;
  }
}

function ask(socketPath: string, agent?: http.Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.get({ socketPath, agent }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (data: string) => (text += data));
      response.on('end', () => resolve(text)).on('error', reject);
    });
    request.on('error', reject);
  });
}

test('a cluster of two is replaced 20 times under load → no request fails, each generation drains and ends by itself, and the last one serves alone', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  let newest = await generation(t, path);
  const clients = [true, true, false, false].map((keepAlive) => new Client(path, keepAlive));
  const ends: (typeof newest)['ended'][] = [];
  for (let reload = 1; reload <= 20; reload++) {
    ends.push(newest.ended);
    newest = await generation(t, path, ...(reload % 2 === 1 ? (['refork'] as const) : []));
  }
  const answered = await Promise.all(clients.map((client) => client.stop()));
  for (const client of clients) assert.ok(client.answeredBy.size > 1);
  for (const end of await Promise.all(ends)) {
    assert.deepEqual(end, { status: 0, printed: 'up\nclosed\nclosed\n', complained: '' });
  }
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(path)));
  assert.deepEqual(new Set(answers), new Set([String(newest.pid)]));
  t.diagnostic(`${answered.join(', ')} requests`);

  newest.child.kill('SIGKILL');
  await newest.ended;
  const next = await generation(t, path);
  assert.equal(await ask(path), String(next.pid));
});

test('the primary has accepted more connections than its workers have taken when it hands over → all are answered', async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const old = await generation(t, path, 'slow');
  const answers = Array.from({ length: 200 }, () => ask(path));
  await answers[0];
  const newest = await generation(t, path);
  const servers = new Set(await Promise.all(answers));
  assert.ok(servers.has(String(old.pid)));
  assert.ok([...servers].every((pid) => pid === String(old.pid) || pid === String(newest.pid)));
  assert.equal((await old.ended).status, 0);
});
