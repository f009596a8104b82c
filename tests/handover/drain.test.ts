import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import http2 from 'node:http2';
import net, { type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { listen } from 'reuseaddr';
import { temporaryDirectory } from '../support/directory.js';

const get = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

/** A server whose answers the test gives, at an address that it hands over when it is told to. */
class Old {
  readonly server: http.Server;
  readonly address: string;
  readonly closed: Promise<unknown>;
  readonly #asked: { readonly request: IncomingMessage; readonly response: ServerResponse }[] = [];
  readonly #t: TestContext;
  #arrived = (): void => undefined;

  private constructor(t: TestContext, server: http.Server) {
    this.#t = t;
    this.server = server;
    this.address = `${temporaryDirectory(t)}/app.sock`;
    this.closed = once(server, 'close');
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      this.#asked.push({ request, response });
      this.#arrived();
    };
    server.on('request', listener).on('checkContinue', listener);
  }

  static async start(t: TestContext, keepAliveTimeout: number): Promise<Old> {
    const old = new Old(t, http.createServer({ keepAliveTimeout }));
    await listen(old.server, old.address, { handover: true });
    return old;
  }

  async handOver(): Promise<void> {
    const taken = await listen(net.createServer(), this.address, { takeover: true });
    this.#t.after(() => taken.release());
  }

  /** A connection, and all that came over it until it was closed. */
  async connect(): Promise<{ readonly client: Socket; readonly said: Promise<string> }> {
    const accepted = once(this.server, 'connection');
    const client = net.connect(this.address);
    this.#t.after(() => client.destroy());
    await accepted;
    const said = text(client);
    said.catch(() => undefined); // The test destroys this client, and does not read from it.
    return { client, said };
  }

  /** The answers to so many requests, once they have come. */
  async asked(count: number): Promise<ServerResponse[]> {
    while (this.#asked.length < count) await new Promise<void>((resolve) => (this.#arrived = resolve));
    return this.#asked.splice(0).map(({ response }) => response);
  }

  /**
   * A connection that is idle: when what this gives has come, those that were closed for that have
   * been closed.
   */
  async idle(): Promise<{ readonly closed: Promise<unknown> }> {
    const { client, said } = await this.connect();
    client.write(get());
    const [response] = await this.asked(1);
    response!.end();
    await once(client, 'data');
    return { closed: said };
  }
}

async function text(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('latin1');
}

/** The text so far, and a promise of more. */
function listenTo(stream: NodeJS.ReadableStream) {
  let heard = '';
  stream.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')));
  return {
    async until(pattern: RegExp): Promise<void> {
      while (!pattern.test(heard)) await once(stream, 'data');
    },
  };
}

for (const keepAliveTimeout of [0, 65_000]) {
  test(`keepAliveTimeout ${keepAliveTimeout}: a request is under way at the handover → its answer says that it is the last, or its connection is closed after it`, async (t) => {
    const old = await Old.start(t, keepAliveTimeout);
    const [silent, headless, begun, kept] = [await old.connect(), await old.connect(), await old.connect(), await old.connect()];
    headless.client.write(get());
    const [without] = await old.asked(1);
    begun.client.write(get());
    const [half] = await old.asked(1);
    half!.writeHead(200, { 'content-length': 4 }).write('ab');
    kept.client.write(get());
    const [first] = await old.asked(1);
    first!.end('1');
    await once(kept.client, 'data');
    await old.handOver();

    kept.client.write(get());
    const [next] = await old.asked(1);
    next!.end('2');
    assert.match(await kept.said, /Connection: keep-alive[^]*1HTTP[^]*Connection: close[^]*2$/);
    assert.equal(await silent.said, '', 'it has sent nothing for a second');
    without!.end('late');
    assert.match(await headless.said, /Connection: close\r\n[^]*late$/);
    half!.end('cd');
    assert.match(await begun.said, /\r\n\r\nabcd$/);
    await old.closed;
  });
}

test('three requests are in one connection at the handover → all are answered, and the last answer says so', async (t) => {
  const old = await Old.start(t, 0);
  const { client, said } = await old.connect();
  client.write(get('/1') + get('/2') + get('/3'));
  const answers = await old.asked(3);
  await old.handOver();
  for (const [i, answer] of answers.entries()) {
    const finished = once(answer, 'finish');
    answer.end(`<${i}>`);
    await finished;
  }
  const heard = await said;
  assert.match(heard, /<0>[^]*<1>[^]*<2>$/);
  assert.equal(heard.match(/Connection: close/g)?.length, 1);
  await old.closed;
});

test('two requests come one after the other after the handover, before the first is answered → both are answered', async (t) => {
  const old = await Old.start(t, 0);
  const { client, said } = await old.connect();
  client.write(get());
  const [first] = await old.asked(1);
  await old.handOver();
  client.write(get());
  const [second] = await old.asked(1);
  first!.end('<1>');
  second!.end('<2>');
  const heard = await said;
  assert.match(heard, /<1>[^]*Connection: close[^]*<2>$/);
  assert.equal(heard.match(/Connection: close/g)?.length, 1);
});

/** The ways in which a program sets a header of its own. */
const settings: Readonly<Record<string, (answer: ServerResponse, value: string) => unknown>> = {
  setHeader: (answer, value) => answer.setHeader('Connection', value),
  'writeHead with an object': (answer, value) => answer.writeHead(200, { connection: value }),
  'writeHead with an array': (answer, value) => answer.writeHead(200, ['Connection', value]),
};

for (const [way, set] of Object.entries(settings)) {
  test(`the program says \`Connection: keep-alive\` by ${way}, as proxies do → after the handover the client is told to close all the same`, async (t) => {
    const old = await Old.start(t, 0);
    const { client, said } = await old.connect();
    client.write(get());
    const [answer] = await old.asked(1);
    await old.handOver();
    set(answer!, 'keep-alive');
    answer!.end('last');
    const heard = await said;
    assert.match(heard, /\r\nConnection: close\r\n[^]*\r\n\r\n[^]*last/i);
    assert.doesNotMatch(heard, /keep-alive/i);
    await old.closed;
  });
}

test('the program says `Connection: keep-alive` with each of two answers in one connection → both come, and only the last says close', async (t) => {
  const old = await Old.start(t, 0);
  const { client, said } = await old.connect();
  client.write(get('/1') + get('/2'));
  const answers = await old.asked(2);
  await old.handOver();
  for (const answer of answers) {
    const finished = once(answer, 'finish');
    answer.setHeader('Connection', 'keep-alive').end(`<${answer.req.url}>`);
    await finished;
  }
  assert.match(await said, /Connection: keep-alive[^]*<\/1>[^]*Connection: close[^]*<\/2>/);
  await old.closed;
});

test('a client with Expect: 100-continue asks after the handover → its answer says that it is the last', async (t) => {
  const old = await Old.start(t, 0);
  const { client, said } = await old.connect();
  client.write(get());
  (await old.asked(1))[0]!.end();
  await once(client, 'data');
  await old.handOver();
  client.write('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n');
  (await old.asked(1))[0]!.end('<done>');
  assert.match(await said, /Connection: close[^]*<done>$/);
});

test('half a request, an answer that is read slowly, and an upgraded connection at the handover → none of them is cut', async (t) => {
  const old = await Old.start(t, 0);
  old.server.on('upgrade', (_request, socket: Socket) => {
    socket.write('up');
    socket.pipe(socket);
  });
  const idle = await old.idle();
  const [half, slow, up] = [await old.connect(), await old.connect(), await old.connect()];
  half.client.write(get().slice(0, 12));
  const body = 'x'.repeat(8 << 20);
  slow.client.pause();
  slow.client.write(get());
  const [answer] = await old.asked(1);
  answer!.end(body);
  up.client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  await once(up.client, 'data');
  await old.handOver();
  await idle.closed;

  half.client.write(get().slice(12));
  (await old.asked(1))[0]!.end('<whole>');
  assert.match(await half.said, /<whole>$/);
  slow.client.resume();
  assert.equal((await slow.said).split('\r\n\r\n')[1]?.length, body.length);
  up.client.end('echo');
  assert.match(await up.said, /upecho$/);
  await old.closed;
});

test('the event loop is blocked while requests come after the handover → each that was sent is answered', async (t) => {
  const old = await Old.start(t, 0);
  old.server.on('request', (_request, response: ServerResponse) => response.end('<answer>'));
  const kept = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const client = net.connect(old.address);
      t.after(() => client.destroy());
      client.write(get());
      await once(client, 'data');
      let ended = false;
      client.once('end', () => (ended = true));
      return { client, ended: () => ended };
    }),
  );
  await old.handOver();
  for (const { client, ended } of kept) {
    if (ended()) continue;
    const answer = text(client);
    client.write(get());
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 260);
    // EPIPE: it had been closed already, and this request was not sent.
    assert.match(await answer.catch((error: unknown) => String((error as NodeJS.ErrnoException).code)), /<answer>$|^EPIPE$/);
  }
  await old.closed;
});

test('the server is told to listen elsewhere after the handover → what it answers there is kept alive', async (t) => {
  const old = await Old.start(t, 0);
  const before = await old.connect(); // While it is open, the server has not closed.
  old.server.on('request', (_request, response: ServerResponse) => response.end('<answer>'));
  await old.handOver();
  const elsewhere = await listen(old.server, `${old.address}.2`);
  t.after(() => elsewhere.release());
  const client = net.connect(elsewhere.address);
  t.after(() => client.destroy());
  client.write(get());
  const [data] = (await once(client, 'data')) as [Buffer];
  assert.match(data.toString(), /Connection: keep-alive/);
  before.client.destroy();
});

test('an http2 stream is open at the handover → it comes to its end, and its session is closed', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const server = http2.createServer();
  const closed = once(server, 'close');
  await listen(server, address, { handover: true });
  const session = http2.connect('http://x', { createConnection: () => net.connect(address) });
  t.after(() => session.destroy());
  const stream = session.request();
  const [answer] = (await once(server, 'stream')) as [http2.ServerHttp2Stream];
  answer.respond();
  answer.write('a');
  const goaway = once(session, 'goaway');
  const taken = await listen(net.createServer(), address, { takeover: true });
  t.after(() => taken.release());
  await goaway;
  answer.end('b');
  stream.setEncoding('utf8');
  let said = '';
  for await (const chunk of stream) said += chunk as string;
  assert.equal(said, 'ab');
  await closed;
});

const forms = {
  'listen()': {
    args: [],
    environment: {},
    start: `await (await import('reuseaddr')).listen(server, path, { takeover: true, handover: true });`,
  },
  'the preload': {
    args: ['--import', 'reuseaddr/register'],
    environment: { REUSEADDR: 'takeover,handover' },
    start: `await new Promise((resolve) => server.listen(path, resolve));`,
  },
} as const;

for (const [form, { args, environment, start }] of Object.entries(forms)) {
  test(`${form}, keepAliveTimeout 0: a request is under way at the handover → the old process ends by itself after its answer, and its client keeps the connection open`, async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const program = `
      import http from 'node:http';
      const path = ${JSON.stringify(path)};
      let slow;
      const server = http.createServer({ keepAliveTimeout: 0 }, (request, response) => {
        if (request.url === '/slow') return (slow = response).writeHead(200, { 'content-length': 4 }).write('sl');
        if (request.url === '/end') slow.end('ow');
        response.end();
      });
      server.on('close', () => console.log('closed'));
      ${start}
      console.log('listens');`;
    const run = async () => {
      const child = spawn(process.execPath, [...args, '--input-type=module', '--eval', program], {
        cwd: fileURLToPath(new URL('../../..', import.meta.url)),
        env: { ...process.env, ...environment },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      t.after(() => child.kill('SIGKILL'));
      const exited = once(child, 'exit');
      const printed = listenTo(child.stdout);
      await printed.until(/listens/);
      return { printed, exited };
    };
    const old = await run();
    const [slow, other] = [net.connect(path), net.connect(path)];
    t.after(() => other.destroy());
    slow.write(get('/slow'));
    const said = listenTo(slow);
    await said.until(/sl$/);
    other.write(get());
    await once(other, 'data');
    await run();
    other.write(get('/end'));
    await said.until(/\r\n\r\nslow$/);
    assert.deepEqual(await old.exited, [0, null]);
    await old.printed.until(/^listens\nclosed\n$/);
  });
}
