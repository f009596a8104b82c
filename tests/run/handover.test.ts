/** One `reuseaddr run` after another: a handover, a standby, and what a killed one leaves. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';
import { needs } from '../support/commands.js';
import { onLinux } from '../support/privileges.js';
import { blockedWaits, until } from '../support/waits.js';
import { askLine } from './ask.js';
import { commandLine, exists, gone, kill, load, program, Running } from './running.js';

const node = process.execPath;

test(
  'G7: five runs, each takes over from the one before under load → none refused, and each leaves with 0',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const start = () => new Running(t, ['--takeover', '--handover', path, '--', node, program('server.mjs'), path]);
    let holder = start();
    await holder.serving();
    const unload = await load(t, path, 4);
    for (let time = 0; time < 5; time++) {
      const next = start();
      await holder.line(/^reuseaddr: .* was handed over; stopping the program\.$/);
      assert.equal(await holder.exited, 0);
      await next.serving();
      assert.equal(holder.pids.some(exists), false);
      holder = next;
    }
    const { answered, refused, reset, wrong, codes } = await unload();
    t.diagnostic(
      `5 handovers: ${answered} answered, ${refused} refused, ${reset} reset, ${wrong} wrong ${JSON.stringify(codes)}`,
    );
    assert.deepEqual({ refused, reset, wrong }, { refused: 0, reset: 0, wrong: 0 });
    assert.equal(await askLine(path), holder.pids[0]);
    assert.equal(await holder.stop(), 0);
    assert.deepEqual(readdirSync(dirname(path)), ['app.sock.lock']);
  },
);

test('the program of the newcomer ends, or is never ready → the holder stays, and the newcomer says why', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const holder = new Running(t, ['--handover', path, '--', node, program('server.mjs'), path]);
  const pid = await holder.serving();
  const ends = new Running(t, ['--takeover', path, '--', 'sh', '-c', 'exit 5']);
  await ends.line(/^reuseaddr: Process \d+ ended with status 5, so .* was not taken over\.$/);
  assert.equal(await ends.exited, 5);
  const late = new Running(t, ['--takeover', '--ready-within=0.1', path, '--', 'sleep', '1000']);
  await late.line(/^reuseaddr: Process \d+ did not say READY=1 within 0.1 s, so .* was not taken over\.$/);
  assert.equal(await late.exited, 1);
  assert.equal(await askLine(path), pid);
  assert.equal(await holder.stop(), 0);
});

test('a run inside a run → it passes the socket on, and SIGHUP replaces both', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const inner = [node, commandLine, 'run', path, '--', node, program('server.mjs'), path];
  const running = new Running(t, [path, '--', ...inner]);
  const first = await running.serving();
  assert.equal(await askLine(path), first);
  running.signal('SIGHUP');
  const second = await running.serving();
  await gone(first);
  assert.equal(await askLine(path), second);
  assert.equal(await running.stop(), 0);
  assert.deepEqual(readdirSync(dirname(path)), ['app.sock.lock']);
});

test('a plain program takes over with --ready-after → it serves, on a socket that it never bound', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const holder = new Running(t, ['--handover', path, '--', node, program('plain.mjs')]);
  await holder.serving();
  const next = new Running(t, ['--takeover', '--ready-after=0.5', path, '--', node, program('plain.mjs')]);
  const pid = await next.serving();
  assert.equal(await holder.exited, 0);
  assert.equal(await askLine(path), pid);
  assert.equal(await next.stop(), 0);
});

const modes = [
  { name: 'with the socket', options: [], command: (path: string) => [node, program('server.mjs'), path] },
  { name: 'with --bind-self', options: ['--bind-self'], command: (path: string) => [node, program('plain.mjs'), path] },
];
for (const { name, options, command } of modes) {
  test(
    `G1, G3: run is killed by SIGKILL, ${name} → its program still serves, and no other starts until that ends`,
    onLinux,
    async (t) => {
      const path = `${temporaryDirectory(t)}/app.sock`;
      const args = [...options, path, '--', ...command(path)];
      const killed = new Running(t, ['--restart=always', ...args]);
      const orphan = await killed.serving();
      killed.signal('SIGKILL');
      await killed.exited;
      assert.equal(await askLine(path), orphan);

      for (const each of [[], ['--bind-self'], ['--takeover=1']]) {
        const { status, stderr } = spawnSync(node, [commandLine, 'run', ...each, path, '--', 'true'], { encoding: 'utf8' });
        assert.equal(status, 3, stderr);
        // By its pid, so that it can be stopped.
        assert.match(stderr, new RegExp(`process ${orphan} `));
      }
      const standby = new Running(t, ['--wait', ...args]);
      if (options.length > 0) await until(() => blockedWaits(`${path}.lock`) > 0);
      kill(orphan, 'SIGKILL');
      const pid = await standby.serving();
      assert.equal(await askLine(path), pid);
      await standby.stop();
      await gone(orphan);
      assert.deepEqual(readdirSync(dirname(path)), ['app.sock.lock']);
    },
  );
}

test(
  '--bind-self: a child of the program outlives it with the socket → nothing of it is removed, and the claim is its',
  { skip: onLinux.skip || needs('python3').skip },
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    // The child has the listening socket, and the lock.
    const forks = `import os, socket, sys
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen()
child = os.fork()
if child: print("serving", child, flush=True); os._exit(0)
connection, _ = listener.accept(); connection.recv(64); connection.sendall(f"{os.getpid()} hello\\n".encode()); connection.close()`;
    const running = new Running(t, ['--bind-self', path, '--', 'python3', '-c', forks, path]);
    const child = await running.serving();
    assert.equal(await running.exited, 0);
    assert.equal(spawnSync(node, [commandLine, 'run', path, '--', 'true']).status, 3);
    assert.equal(await askLine(path), child);
    await gone(child);
    assert.equal(spawnSync(node, [commandLine, 'run', path, '--', 'true']).status, 0);
  },
);

test('a child of the program outlives it, with the socket → the address is free all the same', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const running = new Running(t, [path, '--', 'sh', '-c', 'sleep 1000 >/dev/null 2>&1 & echo serving $!']);
  const child = await running.serving();
  assert.equal(await running.exited, 0);
  assert.ok(exists(child));
  assert.equal(spawnSync(node, [commandLine, 'run', path, '--', 'true']).status, 0);
});

test('SIGTERM to a standby → it ends with 143, and the holder continues to serve', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/app.sock`;
  const holder = new Running(t, [path, '--', node, program('server.mjs'), path]);
  const pid = await holder.serving();
  const standby = new Running(t, ['--wait', path, '--', node, program('server.mjs'), path]);
  await until(() => blockedWaits(`${path}.lock`) > 0);
  assert.equal(await standby.stop(), 143);
  assert.equal(await askLine(path), pid);
});
