import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { test, type TestContext } from 'node:test';
import { claim, listen } from 'reuseaddr';
import { compiled } from '../support/commands.js';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot, secondStranger, stranger } from '../support/privileges.js';
import { fixture, Program } from '../support/program.js';

function withUmask(t: TestContext, mask: number): void {
  const before = process.umask(mask);
  t.after(() => process.umask(before));
}

const modeOf = (path: string): string => (fs.lstatSync(path).mode & 0o7777).toString(8);

/**
 * The name and the id of some user or group: passwd(5) and group(5) have them in the same columns.
 */
function firstBesidesRoot(file: string): [name: string, id: number] {
  const entries = fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const [name = '', , id] = entries.find(([, , number]) => number !== '0') ?? [];
  return [name, Number(id)];
}

for (const mask of [0, 0o022, 0o077, 0o777]) {
  test(`G6: umask ${mask.toString(8)} → each mode that is asked for is the mode of the socket, the lock file is 1600`, async (t) => {
    const directory = temporaryDirectory(t);
    withUmask(t, mask);
    for (const mode of [undefined, 0, 0o600, 0o660, 0o666, 0o777]) {
      const path = `${directory}/app.sock`;
      const held = await claim(path, mode === undefined ? {} : { mode });
      assert.deepEqual([modeOf(path), modeOf(`${path}.lock`)], [(mode ?? 0o600).toString(8), '1600']);
      await held.release();
      fs.rmSync(`${path}.lock`);
    }
  });

  test(`umask ${mask.toString(8)}, a path too long for sun_path → the mode that is asked for, and sticky`, async (t) => {
    const directory = `${temporaryDirectory(t)}/${'d'.repeat(120)}`;
    fs.mkdirSync(directory);
    withUmask(t, mask);
    const held = await claim(`${directory}/app.sock`, { mode: 0o660 });
    assert.equal(modeOf(`${directory}/app.sock`), '1660');
    await held.release();
  });
}

test(
  'owner and group, by name and by number → those of the socket file, and mode as asked; not those of the lock file',
  asRoot,
  async (t) => {
    const directory = temporaryDirectory(t);
    const path = `${directory}/app.sock`;
    const [user, userId] = firstBesidesRoot('/etc/passwd');
    const [group, groupId] = firstBesidesRoot('/etc/group');
    for (const [options, owners] of [
      [{ owner: stranger.uid, group: stranger.gid }, [stranger.uid, stranger.gid]],
      [{ owner: stranger.uid }, [stranger.uid, 0]],
      [{ group: stranger.gid }, [0, stranger.gid]],
      [{ owner: user }, [userId, 0]],
      [{ group }, [0, groupId]],
    ] as const) {
      const held = await claim(path, { ...options, mode: 0o660 });
      const { uid, gid } = fs.lstatSync(path);
      assert.deepEqual([uid, gid, modeOf(path), fs.lstatSync(`${path}.lock`).uid], [...owners, '660', 0]);
      await held.release();
    }
  },
);

test('an owner that this user may not give the file to → EPERM, and nothing but the lock file is left', asRoot, async (t) => {
  const directory = temporaryDirectory(t, 0o777);
  const program = await Program.start(t, stranger);
  const failure = await program.refused('claim', { address: `${directory}/app.sock`, options: { owner: 0 } });
  assert.deepEqual([failure.code, failure.syscall, failure.reason], ['EPERM', 'chown', 'system']);
  assert.deepEqual(fs.readdirSync(directory), ['app.sock.lock']);
});

interface User {
  readonly uid: number;
  readonly gid: number;
}

/** A client that hammers connect(2), as another user; gives how often each result came. */
class Hammer {
  readonly #child;
  #said = '';

  constructor(t: TestContext, program: string, path: string, user: User) {
    this.#child = spawn(program, [path], { ...user, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
    t.after(() => this.#child.kill('SIGKILL'));
  }

  static async start(t: TestContext, path: string, user: User): Promise<Hammer> {
    const hammer = new Hammer(t, compiled(fixture('hammer.c')), path, user);
    await once(hammer.#child.stdout, 'data');
    return hammer;
  }

  async stop(): Promise<Readonly<Record<string, number>>> {
    const closed = once(this.#child, 'close');
    this.#child.stdin.end();
    await closed;
    const lines = this.#said
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(' ').map(Number));
    return Object.fromEntries(
      lines.map(([errno = 0, count = 0]) => [errno === 0 ? 'accepted' : getSystemErrorName(-errno), count]),
    );
  }
}

for (const [name, options] of [
  ['mode 0600', { mode: 0o600 }],
  ['mode 0600 under umask 0777, so that it is widened', { mode: 0o600, mask: 0o777 }],
  ['mode 0660 and the group of a third user', { mode: 0o660, group: secondStranger.gid }],
] as const) {
  test(`G6: a client of another user hammers connect during 300 starts, ${name} → it is never accepted`, asRoot, async (t) => {
    const directory = temporaryDirectory(t, 0o777);
    const path = `${directory}/app.sock`;
    const { mask = 0, ...asked } = { mask: 0, ...options };
    withUmask(t, mask);
    const hammer = await Hammer.start(t, path, stranger);
    let connections = 0;
    const server = net.createServer((connection) => {
      connections++;
      connection.destroy();
    });
    for (let start = 0; start < 300; start++) {
      const held = await listen(server, path, asked);
      await new Promise(setImmediate); // Connections in the queue are accepted.
      await held.release();
    }
    const results = await hammer.stop();
    t.diagnostic(
      `300 starts; connect(2) ${Object.entries(results)
        .map(([result, count]) => `${result} ${count}`)
        .join(', ')}`,
    );
    assert.equal(connections, 0);
    // ECONNREFUSED would mean that it had the permission, before listen(2).
    assert.deepEqual(Object.keys(results).sort(), ['EACCES', 'ENOENT']);
  });
}

test('mode 0660 with a group → a member is accepted, another user is not', asRoot, async (t) => {
  const path = `${temporaryDirectory(t, 0o755)}/app.sock`;
  withUmask(t, 0o077);
  const server = net.createServer((connection) => connection.destroy());
  const held = await listen(server, path, { mode: 0o660, group: stranger.gid });
  t.after(() => held.release());
  const member = await Hammer.start(t, path, { uid: secondStranger.uid, gid: stranger.gid });
  const other = await Hammer.start(t, path, secondStranger);
  const [accepted, refused] = await Promise.all([member.stop(), other.stop()]);
  assert.ok((accepted['accepted'] ?? 0) > 0 && accepted['EACCES'] === undefined, JSON.stringify(accepted));
  assert.deepEqual(Object.keys(refused), ['EACCES']);
});
