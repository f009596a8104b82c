/** `reuseaddr run --instances`: several copies of a program on one socket. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { lstatSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'reuseaddr';
import { listSockets } from '#dist/inspect/list.js';
import { Snapshot } from '#dist/inspect/snapshot.js';
import { kernel } from '#dist/kernel/posix.js';
import { cpuQuota, usableProcessors } from '#dist/run/processors.js';
import { abstractName } from '../support/abstract.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { until } from '../support/waits.js';
import { askLine } from './ask.js';
import { commandLine, exists, gone, kill, load, program, Running } from './running.js';

const node = process.execPath;

/** The pids of the next instances that say that they serve. */
async function serve(running: Running, count: number): Promise<readonly number[]> {
  const pids: number[] = [];
  while (pids.length < count) pids.push(await running.serving());
  return pids;
}

test(
  'G7: 10 SIGHUPs with 3 instances under the load of 4 clients → none is refused, none reset, and 3 serve',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const running = new Running(t, ['--instances=3', path, '--', node, program('server.mjs'), path]);
    const pids = new Set(await serve(running, 3));
    const unload = await load(t, path, 4);
    for (let time = 0; time < 10; time++) {
      running.signal('SIGHUP');
      for (let index = 0; index < 3; index++) {
        const [, pid, old] = await running.line(/^reuseaddr: Process (\d+) serves; stopping process (\d+)\.$/);
        assert.ok(pids.delete(Number(old)));
        pids.add(Number(pid));
      }
    }
    const { answered, refused, reset, wrong, codes } = await unload();
    t.diagnostic(`${answered} answered, ${refused} refused, ${reset} reset, ${wrong} wrong ${JSON.stringify(codes)}`);
    assert.deepEqual({ refused, reset, wrong }, { refused: 0, reset: 0, wrong: 0 });
    assert.deepEqual([...pids].filter(exists).length, 3);
    assert.equal(await running.stop(), 0);
    assert.deepEqual([...pids].filter(exists), []);
    assert.deepEqual(readdirSync(dirname(path)), ['app.sock.lock']);
  },
);

test('inspect and ls → they show all instances', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  for (const address of [path, abstractName().address]) {
    const running = new Running(t, ['--instances=3', address, '--', node, program('server.mjs'), address]);
    const pids = await serve(running, 3);
    const { instances, holder } = await inspect(address);
    assert.equal(holder?.pid, running.pid);
    assert.deepEqual(new Set(instances), new Set(pids));
    const place = address === path ? dirname(path) : address;
    assert.deepEqual(
      listSockets([place]).sockets.map(({ instances: listed }) => listed),
      [instances],
    );
    const shown = (command: string, of: string): string =>
      spawnSync(node, [commandLine, command, of], { encoding: 'utf8' }).stdout;
    assert.ok(shown('inspect', address).includes(`  instances  ${instances?.join(', ')}\n`));
    assert.ok(shown('ls', place).includes(` ${running.pid} (${instances?.join(', ')}) `));
  }
});

test(
  'the pid of the holder is that of another PID namespace → the process that has it here is not looked at',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const running = new Running(t, [path, '--', node, program('server.mjs'), path]);
    const pid = await running.serving();
    const snapshot = new Snapshot();
    const socket = snapshot.boundTo(path, lstatSync(path, { bigint: true }));
    const holder = { pid: running.pid };
    assert.deepEqual(snapshot.instancesOf(holder, socket), { instances: [pid] });
    assert.deepEqual(snapshot.instancesOf({ ...holder, pidNamespace: 'pid:[1]' }, socket), {});
  },
);

test(
  'G7: every instance in turn is killed under the load of 4 clients → no connect fails, and each is started again',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const running = new Running(t, ['--instances=3', '--restart-delay=0.05', path, '--', node, program('server.mjs'), path]);
    let pids = await serve(running, 3);
    const unload = await load(t, path, 4);
    for (let time = 0; time < 2; time++) {
      for (const pid of pids) {
        kill(pid, 'SIGKILL');
        await running.line(new RegExp(`^reuseaddr: Process ${pid} was killed by SIGKILL; starting it again`));
      }
      await until(() => running.pids.length === 3 * (time + 2));
      pids = running.pids.slice(-3);
    }
    const { refused, wrong, reset, answered } = await unload();
    t.diagnostic(`${answered} answered, ${refused} refused, ${wrong} wrong, ${reset} in flight lost`);
    assert.deepEqual({ refused, wrong }, { refused: 0, wrong: 0 });
    assert.ok(reset <= 24, 'at most one for each client and kill');
    assert.equal(await running.stop(), 0);
  },
);

/** Prints its index, and says READY=1 by `listen` unless there is a file `never` by then. */
const indexed = (directory: string, path: string): readonly string[] => {
  const script = `echo index $NODE_APP_INSTANCE $REUSEADDR_INSTANCE; if test -e ${directory}/never; then exec sleep 1000; fi; exec "$@"`;
  return ['sh', '-c', script, 'sh', node, program('server.mjs'), path];
};

test(
  'each instance has its index in the environment, and keeps it when it is replaced; without --instances there is none',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const path = `${directory}/app.sock`;
    const indexes = async (running: Running): Promise<readonly string[]> => {
      const found: string[] = [];
      while (found.length < 3) found.push((await running.line(/^index (.*)$/))[1] ?? '');
      return found;
    };
    const running = new Running(t, ['--instances=3', path, '--', ...indexed(directory, path)]);
    assert.deepEqual([...(await indexes(running))].sort(), ['0 0', '1 1', '2 2']);
    running.signal('SIGHUP');
    assert.deepEqual(await indexes(running), ['0 0', '1 1', '2 2']);
    await running.stop();
    const alone = new Running(t, ['--instances=1', path, '--', ...indexed(directory, path)]);
    assert.equal((await alone.line(/^index (.*)$/))[1], '0 0');
    await alone.stop();
    const env = { ...process.env };
    delete env['NODE_APP_INSTANCE'];
    const single = new Running(t, [path, '--', ...indexed(directory, path)], { env });
    assert.equal((await single.line(/^index ?(.*)$/))[1], '');
    await single.stop();
  },
);

test('an instance does not become ready → the roll-out stops there, says so, and the others stay', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  // The second of the new ones ends.
  const script = `if test -e ${directory}/second; then exit 5; fi; if test -e ${directory}/first; then touch ${directory}/second; fi; exec "$@"`;
  const command = ['sh', '-c', script, 'sh', node, program('server.mjs'), path];
  const running = new Running(t, ['--instances=3', path, '--', ...command]);
  const first = await serve(running, 3);
  writeFileSync(`${directory}/first`, '');
  running.signal('SIGHUP');
  const [, replacement, replaced] = await running.line(/^reuseaddr: Process (\d+) serves; stopping process (\d+)\.$/);
  running.pids.push(Number(replacement));
  const [, , stays] = await running.line(
    /^reuseaddr: Process (\d+) ended with status 5 before it was ready; process (\d+) stays\.$/,
  );
  await running.line(/^reuseaddr: The roll-out has stopped: 1 of 3 instances were replaced\.$/);
  await gone(Number(replaced));
  assert.ok(first.includes(Number(stays)));
  assert.equal(first.filter(exists).length, 2);
  // The next one goes through.
  rmSync(`${directory}/first`);
  rmSync(`${directory}/second`);
  running.signal('SIGHUP');
  for (let index = 0; index < 3; index++) await running.line(/^reuseaddr: Process \d+ serves; stopping process \d+\.$/);
  assert.equal(await running.stop(), 0);
});

test('one instance ends again and again → the others are left alone, and it alone waits longer each time', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  const script = 'if test $NODE_APP_INSTANCE = 1; then exit 3; fi; exec "$@"';
  const command = ['sh', '-c', script, 'sh', node, program('server.mjs'), path];
  const running = new Running(t, ['--instances=2', path, '--', ...command]);
  const pid = await running.serving();
  await running.line(/ended with status 3; starting it again in [\d.]+ s\.$/);
  assert.equal(await askLine(path), pid);
  assert.deepEqual(running.pids, [pid]);
  await running.line(/ended with status 3; starting it again in (?:0\.[48]|[1-9][\d.]*) s\.$/);
  kill(pid, 'SIGKILL');
  await running.line(new RegExp(`^reuseaddr: Process ${pid} was killed by SIGKILL; starting it again\\.$`));
  const next = await running.serving();
  assert.equal(await askLine(path), next);
  // By SIGTERM a program ends with 0, and the other has no process.
  assert.ok([0, 143].includes((await running.stop()) as number));
});

test(
  'restarts are off and the instances end → run ends with the last one, with the status of one that failed',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const running = new Running(t, ['--instances=3', '--restart=never', path, '--', 'sh', '-c', 'exit $NODE_APP_INSTANCE']);
    assert.equal(await running.exited, 1);
  },
);

test(
  'three instances take over from two, and an unready one does not → none refused, and the old run leaves or stays',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const path = `${directory}/app.sock`;
    const holder = new Running(t, ['--instances=2', '--handover', path, '--', node, program('server.mjs'), path]);
    const old = await serve(holder, 2);
    const unload = await load(t, path, 2);
    const script = 'if test $NODE_APP_INSTANCE = 2; then exit 5; fi; exec "$@"';
    const failing = ['sh', '-c', script, 'sh', node, program('server.mjs'), path];
    const refusedRun = new Running(t, ['--instances=3', '--takeover', path, '--', ...failing]);
    await refusedRun.line(/^reuseaddr: Process \d+ ended with status 5, so .* was not taken over\.$/);
    assert.equal(await refusedRun.exited, 5);
    assert.equal(old.filter(exists).length, 2);
    const next = new Running(t, ['--instances=3', '--takeover', path, '--', node, program('server.mjs'), path]);
    assert.equal(await holder.exited, 0);
    const pids = await serve(next, 3);
    assert.deepEqual(old.filter(exists), []);
    const { refused, reset, wrong } = await unload();
    assert.deepEqual({ refused, reset, wrong }, { refused: 0, reset: 0, wrong: 0 });
    assert.ok(pids.includes(await askLine(path)));
    assert.equal(await next.stop(), 0);
  },
);

test('an old instance has not left → the roll-out waits for it, so there is one process more at most', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const stubborn = `process.on('SIGTERM', () => console.log('stubborn', process.pid));
setInterval(() => {}, 1000); console.log('serving', process.pid);`;
  const options = ['--instances=2', '--ready-after=0.1', '--grace=1000'];
  const running = new Running(t, [...options, path, '--', node, '-e', stubborn]);
  const first = await serve(running, 2);
  running.signal('SIGHUP');
  const [, old] = await running.line(/^stubborn (\d+)$/);
  // A signal that is passed on comes later than the start of another instance would.
  running.signal('SIGTERM');
  while ((await running.line(/^stubborn (\d+)$/))[1] === old);
  assert.equal(running.lines.filter((line) => line.includes(' was started; process ')).length, 1);
  assert.ok(first.includes(Number(old)));
});

test(
  'systemd passes the socket to two instances → both accept, one is started again, SIGHUP replaces both, the file stays',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const path = `${directory}/app.sock`;
    const fd = kernel.socket();
    assert.ok(typeof fd === 'number' && kernel.bind(fd, path) === 0 && kernel.listen(fd, 64) === 0);
    t.after(() => kernel.close(fd));
    const running = new Running(t, ['--instances=2', path, '--', node, program('server.mjs'), path], {}, fd);
    const pids = new Set(await serve(running, 2));
    for (const pid of pids) {
      const [other = 0] = [...pids].filter((each) => each !== pid);
      kill(other, 'SIGSTOP');
      assert.equal(await askLine(path), pid);
      kill(other, 'SIGCONT');
    }
    const [killed = 0] = pids;
    kill(killed, 'SIGKILL');
    pids.add(await running.serving());
    pids.delete(killed);
    running.signal('SIGHUP');
    for (let index = 0; index < 2; index++) {
      const [, pid, old] = await running.line(/^reuseaddr: Process (\d+) serves; stopping process (\d+)\.$/);
      assert.ok(pids.delete(Number(old)));
      pids.add(Number(pid));
    }
    // An old instance may still accept when it is told to stop.
    while (!pids.has(await askLine(path)));
    assert.equal(await running.stop(), 0);
    assert.deepEqual(readdirSync(directory), ['app.sock']);
  },
);

test('--instances=max → the processors of the affinity mask, and of the CPU quota of every control group above', onLinux, () => {
  const files: Readonly<Record<string, string>> = {
    '/sys/fs/cgroup/a/b/cpu.max': 'max 100000\n',
    '/sys/fs/cgroup/a/cpu.max': '250000 100000\n',
    '/sys/fs/cgroup/cpu/d/cpu.cfs_quota_us': '50000\n',
    '/sys/fs/cgroup/cpu/d/cpu.cfs_period_us': '100000\n',
    '/sys/fs/cgroup/cpu/e/cpu.cfs_quota_us': '-1\n',
    '/sys/fs/cgroup/cpu/e/cpu.cfs_period_us': '100000\n',
  };
  const read = (path: string): string => files[path] ?? '';
  assert.equal(cpuQuota('0::/a/b\n', read), 2.5);
  assert.equal(cpuQuota('0::/\n', read), Infinity);
  assert.equal(
    cpuQuota('0::/\n', (path) => (path === '/sys/fs/cgroup/cpu.max' ? '100000 100000' : '')),
    1,
  );
  assert.equal(cpuQuota('5:memory:/x\n4:cpu,cpuacct:/d\n0::/\n', read), 0.5);
  assert.equal(cpuQuota('4:cpu,cpuacct:/e\n', read), Infinity);
  assert.equal(cpuQuota('', read), Infinity);
  assert.ok(usableProcessors() >= 1);
});
