/** sd_notify(3), from the program to `reuseaddr run` and from there to what is above it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { basename, dirname } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openNotifySocket, receiveNotification, sendNotification, type Notification } from '#dist/kernel/notify.js';
import { kernel } from '#dist/kernel/posix.js';
import { Above } from '#dist/run/above.js';
import { readEnvironment, sayReady } from '#dist/server/inherit.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { needs } from '../support/commands.js';
import { onLinux } from '../support/privileges.js';
import { until } from '../support/waits.js';
import { askLine } from './ask.js';
import { kill, program, Running } from './running.js';

const node = process.execPath;

/** The socket of a supervisor above. `next` gives what is no status. */
function supervisor(t: TestContext): { readonly name: string; next(from: number): Promise<string>; readonly statuses: string[] } {
  const path = `${temporaryDirectory(t)}/notify`;
  const fd = openNotifySocket(path);
  assert.ok(typeof fd === 'number');
  t.after(() => kernel.close(fd));
  const statuses: string[] = [];
  return {
    name: path,
    statuses,
    async next(from) {
      let text: string | undefined;
      await until(() => {
        const received = receiveNotification(fd, [from]);
        text = typeof received === 'string' ? undefined : received.text;
        if (text?.startsWith('STATUS=') !== true) return text !== undefined;
        statuses.push(text);
        return false;
      });
      return text ?? '';
    },
  };
}

test(
  'run under a supervisor (Type=notify) → READY=1 when the program is ready, STOPPING=1 when it is stopped',
  onLinux,
  async (t) => {
    const above = supervisor(t);
    const path = `${temporaryDirectory(t)}/app.sock`;
    const env = { ...process.env, NOTIFY_SOCKET: above.name };
    const running = new Running(t, [path, '--', node, program('server.mjs'), path], { env });
    // Before that: a supervisor would wait in vain for a program that never says it.
    await running.line(/^reuseaddr: READY=1 is passed on to the supervisor .* use --ready-after\.$/);
    assert.equal(await above.next(running.pid), 'READY=1');
    await askLine(path);
    running.signal('SIGTERM');
    assert.equal(await above.next(running.pid), 'STOPPING=1');
    assert.equal(await running.exited, 0);
  },
);

test(
  'SIGHUP with two instances under a supervisor → RELOADING=1 with the time, READY=1 when both are replaced, and a status',
  onLinux,
  async (t) => {
    const above = supervisor(t);
    const path = `${temporaryDirectory(t)}/app.sock`;
    const env = { ...process.env, NOTIFY_SOCKET: above.name };
    const running = new Running(t, ['--instances=2', path, '--', node, program('server.mjs'), path], { env });
    assert.equal(await above.next(running.pid), 'READY=1');
    assert.match(above.statuses.at(-1) ?? '', /^STATUS=2 of 2 ready; pid \d+, \d+$/);
    const before = process.hrtime.bigint() / 1000n;
    running.signal('SIGHUP');
    const [, time = ''] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(await above.next(running.pid)) ?? [];
    assert.ok(BigInt(time) >= before && BigInt(time) <= process.hrtime.bigint() / 1000n);
    assert.equal(await above.next(running.pid), 'READY=1');
    assert.equal(running.lines.filter((line) => line.includes(' serves; stopping process ')).length, 2);
    assert.equal(await running.stop(), 0);
  },
);

test(
  'the supervisor asks for a watchdog → WATCHDOG=1 again and again; not where it asks another process, or almost never',
  onLinux,
  async (t) => {
    const above = supervisor(t);
    const directory = temporaryDirectory(t);
    const command = ['--', 'sh', '-c', 'echo serving $$; exec sleep 1000'];
    const env = { ...process.env, NOTIFY_SOCKET: above.name, WATCHDOG_USEC: '20000' };
    const running = new Running(t, [`${directory}/a`, ...command], { env });
    for (let time = 0; time < 3; time++) assert.equal(await above.next(running.pid), 'WATCHDOG=1');
    running.signal('SIGKILL');
    for (const asked of [{ WATCHDOG_PID: '1' }, { WATCHDOG_USEC: '9000000000000000' }, { WATCHDOG_USEC: '0' }]) {
      const other = new Running(t, [`${directory}/b`, ...command], { env: { ...env, ...asked } });
      await other.serving();
      other.signal('SIGTERM');
      assert.equal(await above.next(other.pid), 'STOPPING=1');
      await other.exited;
    }
  },
);

test(
  'another process says READY=1 → it does not count, only the word of the program itself does',
  { skip: onLinux.skip || needs('python3').skip },
  async (t) => {
    const above = supervisor(t);
    const path = `${temporaryDirectory(t)}/app.sock`;
    const script = `import os, signal, socket
signal.signal(signal.SIGUSR1, lambda *_: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(
    b"STATUS=here\\nREADY=1\\n", os.environ["NOTIFY_SOCKET"]))
print("serving", os.getpid(), flush=True)
print(os.environ["NOTIFY_SOCKET"], flush=True)
while True: signal.pause()`;
    const env = { ...process.env, NOTIFY_SOCKET: above.name };
    const running = new Running(t, [path, '--', 'python3', '-c', script], { env });
    await running.serving();
    const [name] = await running.line(/^\/.*$/);
    for (let i = 0; i < 5; i++) assert.equal(sendNotification(name, 'READY=1'), 0);
    running.signal('SIGHUP');
    await running.line(
      /^reuseaddr: Process \d+ was started; process \d+ continues until it says READY=1 \(at most 60 s; use --ready-after /,
    );
    // The second instance: neither its own start nor the stranger's word makes it ready.
    const second = await running.serving();
    for (let i = 0; i < 5; i++) assert.equal(sendNotification(name, 'READY=1'), 0);
    process.kill(second, 'SIGUSR1');
    await running.line(new RegExp(`^reuseaddr: Process ${second} serves; stopping process`));
    assert.equal(await above.next(running.pid), 'READY=1');
    assert.equal(await running.stop(), 143);
  },
);

test('a message with descriptors, an empty one, a long one → they are taken, and no descriptor leaks', onLinux, (t) => {
  const path = `${temporaryDirectory(t)}/notify`;
  const fd = openNotifySocket(path);
  assert.ok(typeof fd === 'number');
  t.after(() => kernel.close(fd));
  const ours = [process.pid];
  const before = openDescriptors();
  const sender = openNotifySocket(`${path}.sender`);
  assert.ok(typeof sender === 'number');
  t.after(() => kernel.close(sender));
  assert.equal(sendNotification(path, 'A'), 0);
  assert.deepEqual(receiveNotification(fd, ours), { text: 'A', pid: process.pid });
  assert.equal(sendNotification(path, 'x'.repeat(4096)), 0);
  assert.equal((receiveNotification(fd, ours) as Notification).text.length, 4096);
  assert.equal(receiveNotification(fd, ours), 'EAGAIN');
  assert.equal(sendNotification(`${path}.nobody`, 'A'), 'ENOENT');
  assert.equal(openDescriptors(), before + 1);
});

test('SIGHUP before the program was ready → the supervisor is not told of a reload, nor that it is ready', onLinux, async (t) => {
  const above = supervisor(t);
  const before = process.env['NOTIFY_SOCKET'];
  process.env['NOTIFY_SOCKET'] = above.name;
  const telling = new Above();
  if (before === undefined) delete process.env['NOTIFY_SOCKET'];
  else process.env['NOTIFY_SOCKET'] = before;
  telling.reloading();
  telling.reloaded();
  telling.ready();
  telling.ready();
  telling.tell('STOPPING=1');
  assert.equal(await above.next(process.pid), 'READY=1');
  assert.equal(await above.next(process.pid), 'STOPPING=1');
});

test('messages of other processes → they are dropped, and those of the program are read', onLinux, (t) => {
  const path = `${temporaryDirectory(t)}/notify`;
  const fd = openNotifySocket(path);
  assert.ok(typeof fd === 'number');
  t.after(() => kernel.close(fd));
  sendNotification(path, 'READY=1');
  assert.equal(receiveNotification(fd, []), 'EBUSY');
  assert.equal(receiveNotification(fd, []), 'EAGAIN');
  sendNotification(path, 'A');
  assert.deepEqual(receiveNotification(fd, [1, process.pid]), { text: 'A', pid: process.pid });
  assert.equal(receiveNotification(fd, [1, process.pid]), 'EAGAIN');
});

test(
  'the notify socket → other users find its name nowhere, and its directory goes with run, or with the next one',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    fs.chmodSync(directory, 0o777);
    const path = `${directory}/app.sock`;
    const env = { ...process.env, TMPDIR: directory };
    const printing = ['sh', '-c', 'echo $NOTIFY_SOCKET; exec "$@"', 'sh', node, program('server.mjs'), path];
    const start = () => new Running(t, ['--wait', path, '--', ...printing], { env });
    const folders = () => fs.readdirSync(directory).filter((name) => !name.startsWith('app.sock'));
    const killed = start();
    const [socket] = await killed.line(/^\/.*$/);
    const serving = await killed.serving();
    assert.ok(fs.lstatSync(socket).isSocket());
    assert.equal(fs.readFileSync('/proc/net/unix', 'utf8').includes(basename(socket)), true);
    assert.equal(fs.readFileSync('/proc/net/unix', 'utf8').includes(basename(dirname(socket))), false);
    // Others may pass through the directory of root, for a program that gives up its privileges,
    // but may not list it.
    const { mode } = fs.statSync(dirname(socket));
    assert.equal(mode & 0o777, process.geteuid?.() === 0 ? 0o711 : 0o700);
    killed.signal('SIGKILL');
    await killed.exited;
    kill(serving, 'SIGKILL');
    // One for this socket, and one for the socket where programs ask for the listening socket.
    assert.equal(folders().length, 2);
    const next = start();
    await next.serving();
    assert.equal(folders().length, 2);
    assert.equal(fs.existsSync(socket), false);
    assert.equal(await next.stop(), 0);
    assert.deepEqual(folders(), []);
  },
);

test(
  'other processes flood the notify socket → run spends little time on them, clients are served, and SIGTERM ends it',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const running = new Running(t, [
      path,
      '--',
      'sh',
      '-c',
      'echo $NOTIFY_SOCKET; exec "$@"',
      'sh',
      node,
      program('server.mjs'),
      path,
    ]);
    const [name] = await running.line(/^\/.*$/);
    await running.serving();
    const floods = [1, 2].map(() => spawn(node, [program('flood.mjs'), name], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }));
    t.after(() => floods.forEach((child) => child.kill('SIGKILL')));
    await Promise.all(floods.map((child) => once(child, 'message')));
    await askLine(path);
    // And little of its time goes there: with the foreign messages unread for a while, the kernel
    // takes no more of them.
    const cpuOf = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + cpuTicks(pid), 0);
    const flooding = floods.map(({ pid = 0 }) => pid);
    const before = { run: cpuTicks(running.pid), floods: cpuOf(flooding) };
    await until(() => cpuOf(flooding) - before.floods >= 100);
    const ticks = cpuTicks(running.pid) - before.run;
    t.diagnostic(`${ticks} ticks of CPU time, while those that flood took 100`);
    assert.ok(ticks <= 10);
    assert.equal(await running.stop(), 0);
  },
);

/** proc(5), stat: utime and stime. */
function cpuTicks(pid: number): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

test('more messages of other processes than one call takes → it returns after a bounded number of them', onLinux, (t) => {
  const path = `${temporaryDirectory(t)}/notify`;
  const fd = openNotifySocket(path);
  assert.ok(typeof fd === 'number');
  t.after(() => kernel.close(fd));
  let sent = 0;
  while (sent < 200 && sendNotification(path, 'READY=1') === 0) sent++;
  let calls = 0;
  while (receiveNotification(fd, []) === 'EBUSY') calls++;
  t.diagnostic(`${sent} messages, ${calls} calls; net.unix.max_dgram_qlen says how many may wait`);
  assert.equal(calls, Math.ceil(sent / 64));
});

test('the notify socket is full when a program says READY=1 → it says so again until there is room', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/notify`;
  const fd = openNotifySocket(path);
  assert.ok(typeof fd === 'number');
  t.after(() => kernel.close(fd));
  // As reuseaddr run passes it to a program, here without a socket.
  const passed = { LISTEN_PID: String(process.pid), LISTEN_FDS: '0', LISTEN_FDNAMES: 'reuseaddr', NOTIFY_SOCKET: path };
  assert.deepEqual(readEnvironment(passed), []);
  while (sendNotification(path, 'STATUS=full') === 0);
  sayReady();
  const texts = new Set<string>();
  await until(() => {
    const received = receiveNotification(fd, [process.pid]);
    if (typeof received !== 'string') texts.add(received.text);
    return texts.size === 2;
  });
  assert.deepEqual([...texts], ['STATUS=full', 'READY=1']);
});
