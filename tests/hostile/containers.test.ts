/**
 * "Containers": processes in PID, mount, network, host name and user namespaces of their own, made
 * by unshare(1).
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { inspect, type SocketAddressError } from 'reuseaddr';
import { abstractName } from '../support/abstract.js';
import { inodeAt, temporaryDirectory } from '../support/directory.js';
import { withNamespaces } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { until } from '../support/waits.js';
import { visit } from '../peers/clients.js';

/** The process inside, by its pid outside: the only child of unshare(1). */
function inside(container: Program): number {
  return Number(fs.readFileSync(`/proc/${container.pid}/task/${container.pid}/children`, 'utf8').trim());
}

/** Process 1 of a PID namespace, with /proc, network and host name of its own. */
async function startContainer(t: TestContext, hostname: string | undefined, network = true): Promise<Program> {
  const named = hostname === undefined ? [] : ['sh', '-c', `hostname ${hostname} && exec "$@"`, 'sh'];
  const namespaces = ['--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc', '--uts', ...(network ? ['--net'] : [])];
  // Quiet: unshare(1) complains when the process inside is killed.
  return await Program.start(t, { under: ['unshare', ...namespaces, ...named], quiet: true });
}

/** SIGKILL for the process inside; unshare(1), which waits for it, ends then. */
async function crash(container: Program): Promise<void> {
  const pid = inside(container);
  process.kill(pid, 'SIGKILL');
  await until(() => !fs.existsSync(`/proc/${pid}`));
}

for (const names of [
  ['alpha', 'beta'],
  [undefined, undefined],
] as const) {
  test(
    `G1–G4: two containers, both with pid 1, share a directory, host names ${names.join() === ',' ? 'alike' : 'their own'} → one holder; a crash, a restart, a stray and a file as ever`,
    withNamespaces,
    async (t) => {
      const directory = temporaryDirectory(t);
      const address = `${directory}/app.sock`;
      const [one, other] = [await startContainer(t, names[0]), await startContainer(t, names[1])];

      await one.ask('listen', { address });
      // G2, and who holds it: a process 1, which is not the process 1 that asks.
      const failure = await other.refused('listen', { address });
      assert.deepEqual([failure.code, failure.reason, failure.holder?.pid], ['EADDRINUSE', 'held', 1]);
      assert.match(
        failure.message,
        /^Cannot listen on \S+: process 1 \(.*holder\.mjs.*the pid is that of another PID namespace\) has held it since/,
      );
      assert.equal(/on alpha/.test(failure.message), names[0] === 'alpha', failure.message);
      // From outside as well, where pid 1 is init.
      const outside = await Program.start(t);
      assert.match((await outside.refused('listen', { address })).message, /process 1 \(.*another PID namespace\)/);
      assert.equal((await inspect(address)).state, 'listening');
      // Each from another network namespace: a pathname knows no such borders.
      assert.equal(await other.ask('connect', { address }), 1);
      assert.equal(await visit(address), '1');

      // G3: the kernel releases the claim of a container that is killed, and the other one can have
      // it at once.
      const inode = inodeAt(address);
      await crash(one);
      await other.ask('listen', { address });
      assert.notEqual(inodeAt(address), undefined);
      assert.ok(inode !== undefined);
      assert.equal((await outside.refused('listen', { address })).reason, 'held');
      // G5
      await other.ask('release', { address });
      assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
      await outside.ask('listen', { address });
      assert.equal((await other.refused('listen', { address })).holder?.pid, outside.pid);
      await outside.ask('release', { address });

      // G4: a stray of the one is live for the other too, though the kernel lists no sockets of
      // another network namespace.
      const third = await startContainer(t, names[0]);
      await third.ask('stray', { address });
      assert.deepEqual([(await other.refused('listen', { address })).reason, (await inspect(address)).state], ['stray', 'stray']);
      await crash(third);
      assert.equal((await inspect(address)).state, 'stale');
      await other.ask('listen', { address });
    },
  );
}

test('G1: six containers start at once, six times, SIGKILL to each winner → one winner each time', withNamespaces, async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  let starters = await Promise.all(Array.from({ length: 6 }, () => startContainer(t, undefined, false)));
  const outcomes: Record<string, number> = {};
  for (let round = 0; starters.length > 0; round++) {
    const results = await Promise.all(
      starters.map(
        async (starter) =>
          await starter.ask('listen', { address }).then(
            () => 'won',
            (error: unknown) => (error as SocketAddressError).reason,
          ),
      ),
    );
    for (const result of results) outcomes[result] = (outcomes[result] ?? 0) + 1;
    assert.equal(results.filter((result) => result === 'won').length, 1, results.join());
    await crash(starters[results.indexOf('won')]!);
    starters = starters.filter((_starter, i) => results[i] !== 'won');
  }
  t.diagnostic(JSON.stringify(outcomes));
});

test(
  'a directory that is mounted under another name as well → one address: the start there is refused, clients reach it, a crash is cleaned up',
  withNamespaces,
  async (t) => {
    const directory = temporaryDirectory(t);
    const elsewhere = temporaryDirectory(t);
    const mounts = ['unshare', '--mount', 'sh', '-c', `mount --bind ${directory} ${elsewhere} && exec "$@"`, 'sh'];
    const [here, there] = [await Program.start(t), await Program.start(t, { under: mounts })];
    const [address, mounted] = [`${directory}/app.sock`, `${elsewhere}/app.sock`];

    await here.ask('listen', { address });
    const failure = await there.refused('listen', { address: mounted });
    assert.deepEqual([failure.reason, failure.holder?.pid], ['held', here.pid]);
    assert.equal(await there.ask('connect', { address: mounted }), here.pid);
    assert.equal((await there.ask<{ state: string }>('inspect', { address: mounted })).state, 'listening');
    await here.kill();
    await there.ask('listen', { address: mounted });
    assert.equal((await inspect(address)).state, 'listening');
    const again = await Program.start(t);
    assert.deepEqual([(await again.refused('listen', { address })).reason], ['held']);
    await there.ask('release', { address: mounted });
    assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
    await again.ask('listen', { address });
  },
);

test(
  'an abstract name in two network namespaces → two addresses; within one, the second start is refused',
  withNamespaces,
  async (t) => {
    const { address } = abstractName();
    const [one, other] = [await startContainer(t, undefined), await startContainer(t, undefined)];
    const [here, sameNetwork] = [await Program.start(t), await startContainer(t, undefined, false)];
    for (const each of [one, other, here]) await each.ask('listen', { address });
    assert.equal(await visit(address), String(here.pid), 'each network reaches its own');
    // A container that shares the network shares the names: it is refused, can't be told whose it
    // is, and takes nothing.
    const failure = await sameNetwork.refused('listen', { address });
    assert.deepEqual([failure.code, failure.reason], ['EADDRINUSE', 'held']);
    assert.equal(failure.holder, undefined);
    await here.kill();
    await sameNetwork.ask('listen', { address });
    assert.equal(await visit(address), '1');
  },
);

test(
  'a container that shares the directory as another user → may neither connect nor start, and spoils nothing',
  withNamespaces,
  async (t) => {
    const directory = temporaryDirectory(t, 0o755);
    const address = `${directory}/app.sock`;
    const holder = await Program.start(t);
    await holder.ask('listen', { address });
    const before = inodeAt(address);
    const inUserNamespace = [
      'setpriv',
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      'unshare',
      '--user',
      '--map-root-user',
      '--pid',
      '--fork',
      '--kill-child=SIGKILL',
    ];
    if (spawnSync(inUserNamespace[0]!, [...inUserNamespace.slice(1), 'true']).status !== 0)
      return t.skip('no user namespaces for users');
    const container = await Program.start(t, { under: inUserNamespace });
    const failure = await container.refused('listen', { address });
    assert.deepEqual([failure.code, failure.reason], ['EACCES', 'lock-denied'], 'root inside is nobody outside');
    assert.equal((await container.refused('connect', { address })).code, 'EACCES');
    assert.equal(inodeAt(address), before);
    await holder.kill();
    assert.equal((await container.refused('listen', { address })).reason, 'lock-denied');
    assert.equal(inodeAt(address), before, 'nor can it remove a stale socket there');
  },
);
