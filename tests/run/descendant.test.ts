/** A process that asks `run` for its socket: no other one receives its signals, or its socket. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { format } from '#dist/handover/message.js';
import { kernel } from '#dist/kernel/posix.js';
import { Descendant } from '#dist/run/descendant.js';
import { Instance } from '#dist/run/instance.js';
import { Passing } from '#dist/run/passing.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { until } from '../support/waits.js';

/** Makes descriptors until one has this number, which is free. */
function takeNumber(t: TestContext, number: number, make: () => number | string): void {
  for (;;) {
    const fd = make();
    assert.ok(typeof fd === 'number', String(fd));
    t.after(() => kernel.close(fd));
    if (fd === number) return;
  }
}

test('a process was disconnected, and another has the number of its connection → that one gets no signal', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/run`;
  const server = net.createServer().listen(path);
  t.after(() => server.close());
  await once(server, 'listening');
  const client = net.connect(path).on('error', () => undefined);
  const [socket] = (await once(server, 'connection')) as [net.Socket & { _handle: { fd: number } }];
  const { fd } = socket._handle;
  const descendant = new Descendant(socket, fd, process.pid);
  let signals = 0;
  const count = (): number => signals++;
  process.on('SIGUSR2', count);
  t.after(() => process.off('SIGUSR2', count));
  assert.equal(descendant.exists, true);
  descendant.signal('SIGUSR2');
  await until(() => signals === 1);

  descendant.disconnect();
  assert.equal(descendant.exists, false);
  await once(client, 'close');
  // The peer of such a connection is this process.
  takeNumber(t, fd, () => kernel.connect(path));
  assert.equal(descendant.exists, false);
  const later = once(process, 'SIGCONT');
  descendant.signal('SIGUSR2');
  process.kill(process.pid, 'SIGCONT');
  await later;
  assert.equal(signals, 1);
});

interface Service {
  readonly path: string;
  readonly fd: number;
  readonly name: string;
  readonly instance: Instance;
}

/** A listening socket, and a service that takes this process for one of its program. */
function service(t: TestContext): Service {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const fd = listenAt(path);
  const child = spawn('sleep', ['1000']);
  t.after(() => child.kill('SIGKILL'));
  const instance = new Instance(() => child, { graceMs: 0, report: () => undefined });
  const passing = Passing.open(fd, { at: () => instance, becameReady: () => undefined });
  assert.ok(passing instanceof Passing);
  t.after(() => passing.close());
  return { path, fd, name: passing.name, instance };
}

function listenAt(path: string): number {
  const fd = kernel.socket();
  assert.ok(typeof fd === 'number');
  assert.equal(kernel.bind(fd, path), 0);
  assert.equal(kernel.listen(fd, 1), 0);
  return fd;
}

/** Asks for the socket, and gives the number of descriptors and the text of the answer. */
async function ask(t: TestContext, asked: Service): Promise<readonly [number, string]> {
  return answerOn(askOn(t, asked));
}

function askOn(t: TestContext, asked: Service): number {
  const connection = kernel.connect(asked.name);
  assert.ok(typeof connection === 'number', String(connection));
  t.after(() => kernel.close(connection));
  sendQuestion(connection, asked);
  return connection;
}

function sendQuestion(connection: number, { path }: Service): void {
  const { dev, ino } = fs.lstatSync(path, { bigint: true });
  kernel.sendmsg(connection, format({ kind: 'ask', dev, ino, name: path }), []);
}

async function answerOn(connection: number): Promise<readonly [number, string]> {
  for (;;) {
    const answer = kernel.recvmsg(connection, 128, 3);
    if (typeof answer === 'object') {
      answer.fds.forEach((fd) => kernel.close(fd));
      return [answer.fds.length, answer.text];
    }
    assert.equal(answer, 'EAGAIN');
    await setImmediate();
  }
}

test('the socket cannot be sent → the process that asked is disconnected, and the next one has it', onLinux, async (t) => {
  const asked = service(t);
  const { sendmsg } = kernel;
  let failures = 0;
  const mock = t.mock.method(kernel, 'sendmsg', (fd: number, text: string, fds: readonly number[]) => {
    if (fds.length === 0) return sendmsg(fd, text, fds);
    failures++;
    return 'ENOBUFS';
  });
  const first = ask(t, asked);
  await until(() => failures === 1);
  assert.deepEqual(asked.instance.programPids, []);
  assert.deepEqual(await first, [0, '']);
  mock.mock.restore();
  assert.deepEqual(await ask(t, asked), [1, format({ kind: 'pass' })]);
  assert.deepEqual(asked.instance.programPids, [process.pid]);
});

test('a process asks twice on one connection → it is answered once', onLinux, async (t) => {
  const asked = service(t);
  const connection = askOn(t, asked);
  assert.deepEqual(await answerOn(connection), [1, format({ kind: 'pass' })]);
  sendQuestion(connection, asked);
  // It is heard after the question.
  kernel.sendmsg(connection, format({ kind: 'done' }), []);
  await until(() => asked.instance.receiver === undefined);
  assert.equal(kernel.recvmsg(connection, 128, 3), 'EAGAIN');
});

test('run has closed the socket, and another one has its number and path → that one is not passed', onLinux, async (t) => {
  const asked = service(t);
  kernel.close(asked.fd);
  takeNumber(t, asked.fd, () => {
    fs.unlinkSync(asked.path);
    return listenAt(asked.path);
  });
  assert.deepEqual(await ask(t, asked), [0, format({ kind: 'decline', why: 'other-address' })]);
});
