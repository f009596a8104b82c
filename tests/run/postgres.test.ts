/**
 * PostgreSQL keeps a lock file of its own at `PATH.lock`, with a content of its own, and starts
 * next to no other.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { leaveStale, reuseaddr, run } from '../cli/support.js';
import { temporaryDirectory } from '../support/directory.js';

const user = databaseUser();
const folder = programFolder();
const withPostgres = {
  skip:
    folder === undefined ? 'postgresql is not installed' : user === undefined && 'PostgreSQL refuses this user: it has no name',
} as const;

test(
  'PostgreSQL with --bind-self → it refuses our lock file, and --lock-path is named; with that it serves',
  withPostgres,
  async (t) => {
    const database = new Database(t);
    const { status, stderr } = await run(['run', '--bind-self', database.socket, '--', ...database.command], user);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /FATAL.*s\.PGSQL\.5499\.lock[^]*give run another lock file with --lock-path/);
    assert.deepEqual(fs.readdirSync(database.sockets), []);

    const serving = await database.serve(['run', '--bind-self', `--lock-path=${database.socket}.claim`, database.socket, '--']);
    assert.equal(database.ask(), 'served');
    serving.kill('SIGTERM');
    assert.deepEqual(await once(serving, 'close'), [0, null]);
  },
);

test('PostgreSQL was killed → the next instance serves, and removes what the killed one left', withPostgres, async (t) => {
  const database = new Database(t);
  const lockPath = `--lock-path=${database.socket}.claim`;
  await database.serve([]);
  process.kill(database.pid, 'SIGKILL');
  await database.ended();
  assert.deepEqual(fs.readdirSync(database.sockets).sort(), ['.s.PGSQL.5499', '.s.PGSQL.5499.lock']);
  const serving = await database.serve(['run', '--bind-self', lockPath, database.socket, '--']);
  assert.equal(database.ask(), 'served');
  serving.kill('SIGTERM');
  assert.deepEqual(await once(serving, 'close'), [0, null]);
});

test('clean removes a dead socket of PostgreSQL → no lock file is left, and PostgreSQL starts', withPostgres, async (t) => {
  const database = new Database(t);
  leaveStale(database.socket);
  assert.equal((await run(['clean', database.sockets])).status, 0);
  assert.deepEqual(fs.readdirSync(database.sockets), []);
  await database.serve([]);
  assert.equal(database.ask(), 'served');
});

test('clean where PostgreSQL was killed, or serves → its lock file is left as it is', withPostgres, async (t) => {
  const database = new Database(t);
  await database.serve([]);
  const lock = fs.readFileSync(`${database.socket}.lock`, 'utf8');
  const look = async (): Promise<void> => {
    await run(['clean', database.sockets]);
    assert.equal(fs.readFileSync(`${database.socket}.lock`, 'utf8'), lock);
  };
  await look();
  assert.equal(database.ask(), 'served');
  process.kill(database.pid, 'SIGKILL');
  await database.ended();
  await look();
  await database.serve([]);
  assert.equal(database.ask(), 'served');
});

/** An empty database, whose socket is `.s.PGSQL.5499` in a directory of its own. */
class Database {
  readonly sockets: string;
  readonly socket: string;
  readonly command: readonly string[];
  readonly #files: string;
  readonly #context: TestContext;
  #serving: ReturnType<typeof spawn> | undefined;

  constructor(t: TestContext) {
    const directory = temporaryDirectory(t);
    this.sockets = `${directory}/run`;
    this.socket = `${this.sockets}/.s.PGSQL.5499`;
    this.#files = `${directory}/data`;
    this.#context = t;
    fs.chmodSync(directory, 0o755);
    for (const made of [this.sockets, this.#files]) {
      fs.mkdirSync(made, { mode: 0o700 });
      if (user !== undefined && 'uid' in user) fs.chownSync(made, user.uid, user.gid);
    }
    const settings = ['-D', this.#files, '-k', this.sockets, '-h', '', '-p', '5499', '-F'];
    this.command = [`${folder}/postgres`, ...settings];
    execFileSync(`${folder}/initdb`, ['-D', this.#files, '-A', 'trust', '-U', 'tester', '--no-sync'], {
      ...user,
      stdio: 'ignore',
    });
  }

  /** Starts it, by this command of ours or by itself, and waits until it says that it is ready. */
  async serve(ours: readonly string[]): Promise<ReturnType<typeof spawn>> {
    const words = ours.length === 0 ? this.command : [process.execPath, reuseaddr, ...ours, ...this.command];
    const [command = '', ...args] = words;
    const serving = spawn(command, args, { ...user, stdio: ['ignore', 'ignore', 'pipe'] });
    this.#serving = serving;
    this.#context.after(() => serving.kill('SIGTERM'));
    let said = '';
    await new Promise<void>((resolve, reject) => {
      serving.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes('ready to accept connections')) resolve();
      });
      serving.once('close', () => reject(new Error(`it has ended: ${said}`)));
    });
    return serving;
  }

  get pid(): number {
    return Number.parseInt(fs.readFileSync(`${this.#files}/postmaster.pid`, 'utf8'), 10);
  }

  async ended(): Promise<void> {
    if (this.#serving?.signalCode === null && this.#serving.exitCode === null) await once(this.#serving, 'exit');
  }

  ask(): string {
    const args = ['-h', this.sockets, '-p', '5499', '-U', 'tester', '-d', 'postgres', '-Atc', "select 'served'"];
    return execFileSync(`${folder}/psql`, args, { ...user, encoding: 'utf8' }).trim();
  }
}

/** The folder of the server's programs, which Debian keeps out of PATH. */
function programFolder(): string | undefined {
  const found = spawnSync('sh', ['-c', 'ls -d /usr/lib/postgresql/*/bin'], { encoding: 'utf8' }).stdout.trim().split('\n').at(-1);
  return found === undefined || found === '' || !fs.existsSync(`${found}/initdb`) ? undefined : found;
}

/** PostgreSQL refuses to run as root, and as a user without a name. Undefined: as that. */
function databaseUser(): { readonly uid: number; readonly gid: number } | Record<string, never> | undefined {
  const name = process.geteuid?.() === 0 ? 'postgres' : String(process.geteuid?.());
  const entry = spawnSync('getent', ['passwd', name], { encoding: 'utf8' });
  if (entry.status !== 0) return undefined;
  if (name !== 'postgres') return {};
  const [, , uid, gid] = entry.stdout.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}
