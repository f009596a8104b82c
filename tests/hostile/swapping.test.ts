import { pathOf, throughOf } from '#dist/claim/place.js';
/**
 * An attacker who swaps what is at the path, in a directory that it may write to: see
 * fixtures/swapper.c.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { claim } from 'reuseaddr';
import { acquire } from '#dist/claim/acquire.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { release } from '#dist/claim/release.js';
import { failed, perform, run, type SystemCall } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { compiled } from '../support/commands.js';
import { snapshot, temporaryDirectory } from '../support/directory.js';
import { asRoot, stranger } from '../support/privileges.js';
import { placeAt } from '../support/place.js';
import { asUser, nobody, type User } from '../peers/clients.js';

const swaps = 100_000;
const group = 70_200;

function fixture(name: string): string {
  return fileURLToPath(new URL(`../../../tests/hostile/fixtures/${name}`, import.meta.url));
}

type Counts = Readonly<Record<string, number>>;

interface Attack {
  readonly attacker: Counts;
  readonly starter: Counts;
}

/** Lets the attacker swap while a process of `starter` starts and releases. */
async function attack(t: TestContext, directory: string, targets: readonly string[], starter: User): Promise<Attack> {
  const [setpriv = '', ...starterArgs] = [
    ...asUser(starter),
    process.execPath,
    fixture('starts.mjs'),
    `${directory}/app.sock`,
    String(group),
  ];
  const starting = spawn(setpriv, starterArgs, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  t.after(() => starting.kill('SIGKILL'));
  assert.deepEqual((await once(starting, 'message'))[0], 'ready');

  const [, ...attackerArgs] = [
    ...asUser(nobody),
    compiled(fixture('swapper.c')),
    directory,
    'app.sock',
    ...targets,
    String(swaps),
  ];
  const swapping = spawn('setpriv', attackerArgs, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => swapping.kill('SIGKILL'));
  let said = '';
  swapping.stdout.setEncoding('utf8');
  await once(swapping.stdout, 'data');
  swapping.stdout.on('data', (text: string) => {
    said += text;
  });

  starting.send('go');
  swapping.stdin.end('x');
  const [status] = (await once(swapping, 'close')) as [number];
  assert.equal(status, 0, 'the attacker came to its end');
  starting.send('stop');
  const [starter_] = (await once(starting, 'message')) as [Counts];
  const words = said.trim().split(' ');
  const attacker = Object.fromEntries(words.flatMap((word, i) => (i % 2 === 0 ? [[word, Number(words[i + 1])]] : [])));
  const print = (counts: Counts): string =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  t.diagnostic(`${swaps} swaps: ${print(attacker)}`);
  t.diagnostic(`starts and refusals: ${print(starter_)}`);
  return { attacker, starter: starter_ };
}

/**
 * In memory where that can be had: on a disk each swap waits for the journal, and a hundred
 * thousand of them take minutes. File systems in memory give a new number to each inode; that a
 * reused number deceives no process is shown in tests/kernel and tests/simulation.
 */
function fastDirectory(t: TestContext, mode: number): string {
  const memory = '/dev/shm';
  if (!fs.existsSync(memory)) return temporaryDirectory(t, mode);
  const path = fs.mkdtempSync(`${memory}/ra-`);
  fs.chmodSync(path, mode);
  t.after(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The targets of the attacker's symbolic links: a file and a live socket of root, outside. */
async function precious(t: TestContext): Promise<{ directory: string; paths: readonly string[]; connections: () => number }> {
  const directory = temporaryDirectory(t, 0o755);
  let connections = 0;
  const server = net.createServer((connection) => {
    connections++;
    connection.destroy();
  });
  await new Promise<void>((listening) => server.listen(`${directory}/live`, listening));
  t.after(() => server.close());
  fs.chmodSync(`${directory}/live`, 0o600);
  fs.writeFileSync(`${directory}/file`, 'text', { mode: 0o600 });
  return { directory, paths: [`${directory}/file`, `${directory}/live`], connections: () => connections };
}

const lostInTheWindow = ({ attacker }: Attack): number =>
  ['file', 'symlink', 'directory', 'live'].reduce((sum, kind) => sum + attacker[`lost-${kind}`]!, 0);

/** Every refusal is an error that was meant, and there were starts too: else nothing was tested. */
function assertMeant({ starter }: Attack): void {
  const meant =
    /^(starts|ENOTSOCK not-a-socket|EADDRINUSE (stray|unstable|aside-occupied)|EEXIST aside-occupied|(EACCES|EPERM|EISDIR|EEXIST|ENOTEMPTY|ENOTDIR) system \w+)$/;
  for (const outcome of Object.keys(starter)) assert.match(outcome, meant);
  assert.ok(starter['starts']! > 0, 'some starts were not hindered');
}

test(
  'root starts in a directory that an attacker may write to → nothing but our own socket has its mode or owner changed, no symlink is followed, what is lost is counted',
  asRoot,
  async (t) => {
    const outside = await precious(t);
    const before = snapshot(outside.directory);
    const ctimes = () =>
      fs.readdirSync(outside.directory).map((name) => fs.lstatSync(`${outside.directory}/${name}`, { bigint: true }).ctimeNs);
    const ctimesBefore = ctimes();
    const directory = fastDirectory(t, 0o777);
    const result = await attack(t, directory, outside.paths, { uid: 0, gid: 0 });
    const { attacker } = result;
    assert.deepEqual(snapshot(outside.directory), before);
    assert.deepEqual(ctimes(), ctimesBefore, 'what the links lead to was never changed, not even for a moment');
    assert.deepEqual([attacker['changed'], attacker['connected'], outside.connections()], [0, 0, 0]);
    assert.equal(attacker['lost-directory'], 0, 'unlink(2) does not remove directories');
    t.diagnostic(`unlinked in the documented window: ${lostInTheWindow(result)}`);
    assertMeant(result);
    const held = await claim(`${directory}/app.sock`);
    await held.release();
  },
);

test(
  'in a sticky directory, such as /tmp, and as another user → nothing of the attacker’s is ever unlinked or changed',
  asRoot,
  async (t) => {
    const outside = await precious(t);
    const before = snapshot(outside.directory);
    const directory = fastDirectory(t, 0o1777);
    const result = await attack(t, directory, outside.paths, { ...stranger, groups: [group] });
    const { attacker } = result;
    assert.deepEqual(snapshot(outside.directory), before);
    assert.deepEqual([lostInTheWindow(result), attacker['lost-dead'], attacker['changed'], attacker['connected']], [0, 0, 0, 0]);
    assertMeant(result);
  },
);

for (const moment of ['at its path', 'set aside'] as const) {
  test(`G3: a dead socket is removed by another process while it is being judged, ${moment} → the start succeeds`, (t) => {
    const directory = temporaryDirectory(t);
    const place = placeAt(`${directory}/app.sock`);
    const dead = kernel.socket();
    assert.ok(!failed(dead));
    kernel.bind(dead, place.path);
    kernel.close(dead);
    const judged = moment === 'at its path' ? place : place.aside;
    const start = acquire(place, { mode: 0o600, backlog: 1, record: '' });
    let removals = 0;
    let step = start.next();
    while (step.done !== true) {
      const call: SystemCall = step.value;
      if (call.name === 'probe' && call.args[0] === throughOf(judged) && removals++ === 0) fs.unlinkSync(pathOf(judged));
      step = start.next(perform(kernel, call));
    }
    assert.equal(removals, 1);
    const made = step.value;
    assert.ok(!isRefusal(made), isRefusal(made) ? made.refused : '');
    assert.equal(run(kernel, release(place, made)).outcome, 'removed');
  });
}
