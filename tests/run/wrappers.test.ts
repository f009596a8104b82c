/**
 * `reuseaddr run … -- npm start` and the like: the program is not the process that run starts, and
 * descriptors do not reach it.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { installPackages, runtimes, type Runtime } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { until } from '../support/waits.js';
import { askLine } from './ask.js';
import { kill, load, program, Running } from './running.js';

const register = fileURLToPath(import.meta.resolve('reuseaddr/register'));

/** A program, as the arguments of node. */
const programs = {
  'with listen()': (path: string) => [program('wrapped.mjs'), path],
  'under the preload': (path: string) => ['--import', register, program('plain.mjs'), path],
  'that ignores SIGTERM': (path: string) => [program('wrapped.mjs'), path, '{}', 'deaf'],
  'that stops slowly': (path: string) => [program('wrapped.mjs'), path, '{}', 'slow'],
} as const;

let home = '';

/**
 * Command lines that run `node` with these arguments, as a process below their own. They are
 * started in `directory`.
 */
const wrappers = {
  'npm start': (directory: string, args: readonly string[]) => {
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ scripts: { start: ['node', ...args].join(' ') } }));
    return ['npm', 'start', '--silent'];
  },
  'node --watch': (_directory: string, args: readonly string[]) => ['node', '--watch', ...args],
  'sh -c': (_directory: string, args: readonly string[]) => ['sh', '-c', 'true; node "$@"; exit $?', 'sh', ...args],
  tsx: (_directory: string, args: readonly string[]) => [join(home, 'node_modules/.bin/tsx'), ...args],
} as const;

type Wrapper = keyof typeof wrappers;

interface Way {
  readonly wrapper: Wrapper;
  readonly kind: keyof typeof programs;
  readonly runtime?: Runtime;
  readonly options?: readonly string[];
  /** In a process group of its own. */
  readonly detached?: boolean;
}

/** A directory of its own, the address in it, and a run that serves there. */
function begin(
  t: Parameters<typeof temporaryDirectory>[0],
  { wrapper, kind, runtime, options = [], detached = false }: Way,
): { path: string; running: Running } {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, 'sockets'));
  const path = join(directory, 'sockets/app.sock');
  const command = wrappers[wrapper](directory, programs[kind](path));
  const { path: node = process.execPath } = runtime ?? {};
  const PATH = `${dirname(node)}${delimiter}${process.env['PATH']}`;
  const running = new Running(t, [...options, path, '--', ...command], {
    cwd: directory,
    env: { ...process.env, PATH },
    detached,
  });
  return { path, running };
}

/** Serves, is replaced on SIGHUP at READY=1, and ends with all its processes on SIGTERM. */
async function serveReplaceStop(t: Parameters<typeof temporaryDirectory>[0], way: Way): Promise<void> {
  const { path, running } = begin(t, way);
  const first = await running.serving();
  assert.equal(await askLine(path), first);
  running.signal('SIGHUP');
  const [, next, old] = await running.line(/^reuseaddr: Process (\d+) serves; stopping process (\d+)\.$/);
  // Under the preload it says so after READY=1.
  await until(() => running.pids.length === 2);
  const [, second = 0] = running.pids;
  assert.ok(
    ![next, old].includes(String(second)) && ![next, old].includes(String(first)),
    'the program is not the own child of run',
  );
  await ended(first);
  assert.equal(await askLine(path), second);
  await running.stop();
  for (const pid of running.pids) await ended(pid);
  assert.deepEqual(readdirSync(dirname(path)), ['app.sock.lock']);
}

describe('a wrapper between run and the program', onLinux, () => {
  before(async () => {
    home = await installPackages('run/packages');
  });

  for (const wrapper of Object.keys(wrappers) as Wrapper[]) {
    for (const kind of ['with listen()', 'under the preload'] as const) {
      test(`${wrapper}, ${kind}: it serves, SIGHUP replaces it, SIGTERM ends it, and nothing stays`, async (t) => {
        await serveReplaceStop(t, { wrapper, kind });
      });
    }
  }

  test('npm start and node --watch do the same on the other versions of Node', async (t) => {
    for (const runtime of (await runtimes()).slice(1)) {
      await serveReplaceStop(t, { wrapper: 'npm start', kind: 'under the preload', runtime });
      await serveReplaceStop(t, { wrapper: 'node --watch', kind: 'with listen()', runtime });
      t.diagnostic(runtime.name);
    }
  });

  test('5 SIGHUPs with 2 npm starts under the load of 4 clients → none is refused, none reset', async (t) => {
    const { path, running } = begin(t, { wrapper: 'npm start', kind: 'with listen()', options: ['--instances=2'] });
    for (let index = 0; index < 2; index++) await running.serving();
    const unload = await load(t, path, 4);
    for (let time = 0; time < 5; time++) {
      running.signal('SIGHUP');
      for (let index = 0; index < 2; index++) await running.line(/^reuseaddr: Process \d+ serves; stopping process \d+\.$/);
    }
    const { answered, refused, reset, wrong } = await unload();
    t.diagnostic(`${answered} answered`);
    assert.deepEqual({ refused, reset, wrong }, { refused: 0, reset: 0, wrong: 0 });
    await running.stop();
    for (const pid of running.pids) await ended(pid);
  });

  test('the program is killed, or the wrapper → the other one ends too, and both are started again', async (t) => {
    const { path, running } = begin(t, { wrapper: 'npm start', kind: 'with listen()', options: ['--restart=always'] });
    const first = await running.serving();
    kill(first, 'SIGKILL');
    await running.line(/^reuseaddr: Process \d+ ended with status \d+; starting it again\.$/);
    const second = await running.serving();
    const npm = childOf(running.pid, second);
    kill(npm, 'SIGKILL');
    await running.line(
      new RegExp(`^reuseaddr: Process ${npm} has ended and left process ${second} behind; stopping that, too\\.$`),
    );
    await running.line(new RegExp(`^${second} has had SIGTERM$`));
    await running.line(new RegExp(`^reuseaddr: Process ${npm} was killed by SIGKILL; starting it again`));
    const third = await running.serving();
    await ended(second);
    assert.equal(await askLine(path), third);
    await running.stop();
    await ended(third);
  });

  // Not `node --watch` in the process group: it passes on the SIGTERM that its program has already.
  for (const { wrapper, whole, kind = 'with listen()' } of [
    { wrapper: 'npm start', whole: false },
    { wrapper: 'node --watch', whole: false },
    { wrapper: 'sh -c', whole: true, kind: 'that stops slowly' },
  ] as const) {
    const to = whole ? 'the process group' : 'run alone';
    test(`${wrapper}, ${kind}: SIGTERM to ${to} → the program has it once`, async (t) => {
      const { running } = begin(t, { wrapper, kind, detached: true });
      const pid = await running.serving();
      process.kill(whole ? -running.pid : running.pid, 'SIGTERM');
      await running.exited;
      await ended(pid);
      assert.deepEqual(
        running.lines.filter((line) => line.includes('has had')),
        [`${pid} has had SIGTERM`],
      );
    });
  }

  test('npm start: SIGUSR2, which has a meaning only for the program → the program has it', async (t) => {
    const { path, running } = begin(t, { wrapper: 'npm start', kind: 'with listen()' });
    const pid = await running.serving();
    running.signal('SIGUSR2');
    await running.line(new RegExp(`^${pid} has had SIGUSR2$`));
    assert.equal(await askLine(path), pid);
    await running.stop();
  });

  test('a program that ignores SIGTERM is left behind by its wrapper → it is killed after --grace', async (t) => {
    const { running } = begin(t, {
      wrapper: 'sh -c',
      kind: 'that ignores SIGTERM',
      options: ['--restart=always', '--grace=0.1'],
    });
    const first = await running.serving();
    kill(childOf(running.pid, first), 'SIGKILL');
    const second = await running.serving();
    await ended(first);
    assert.notEqual(second, first);
    kill(second, 'SIGKILL');
    running.signal('SIGTERM');
  });
});

/** Waits for the end of a process. Its parent has ended, and another may be slow to wait for it. */
async function ended(pid: number): Promise<void> {
  await until(() => !existsSync(`/proc/${pid}/exe`));
}

/** Returns the child of `pid` that `below` descends from. */
function childOf(pid: number, below: number): number {
  const parent = Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${below}/status`, 'utf8'))?.[1]);
  assert.ok(parent > 1, `${below} is not below ${pid}`);
  return parent === pid ? below : childOf(pid, parent);
}
