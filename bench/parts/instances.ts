/**
 * Several instances of a server that accept from one socket: how many requests they answer, and how
 * the connections spread over them.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Child, cleanEnvironment, commandLine, node, places, program, root, withDirectory } from '../environment.js';
import { choose, takeTurns, type Measurement, type Run } from '../measure.js';
import type { Answers } from '../programs/askers.js';

const counts = [1, 2, 4] as const;

/** The URLs, by the cost of a request. */
const urls = { work: '/work', 'no work': '/' } as const;

/** Enough that no instance has to be idle. */
const clients = 16;

/** Starts so many instances, each of which prints a line when it accepts. */
type Start = (path: string, count: number) => Child;

function underRun(path: string, count: number, ...command: readonly string[]): Child {
  return new Child(process.execPath, [commandLine, 'run', `--instances=${count}`, path, '--', ...command]);
}

const kinds: Readonly<Record<string, Start>> = {
  'reuseaddr run': (path, count) => underRun(path, count, process.execPath, program('instances'), 'run', path),
  'node:cluster, round robin': (path, count) => node('instances', 'robin', path, String(count)),
  'node:cluster, SCHED_NONE': (path, count) => node('instances', 'none', path, String(count)),
};

const python = join(root, 'bench/programs');

function gunicorn(workers: number): readonly string[] {
  const settings = ['--chdir', python, '--config', join(python, 'instances.py'), '--log-level', 'error', `--workers=${workers}`];
  // Otherwise Python keeps what it compiles next to the file.
  return ['env', 'PYTHONDONTWRITEBYTECODE=1', 'gunicorn', ...settings, 'instances:app'];
}

const pythonKinds: Readonly<Record<string, Start>> = {
  'gunicorn, workers': (path, count) => {
    const [command = '', ...args] = gunicorn(count);
    return new Child(command, [...args, `--bind=unix:${path}`]);
  },
  'reuseaddr run, gunicorn': (path, count) => underRun(path, count, ...gunicorn(1)),
};

/** Returns the kinds of servers that this machine has. */
function kindsHere({ say }: Run): Readonly<Record<string, Start>> {
  if (spawnSync('gunicorn', ['--version'], { env: cleanEnvironment }).status === 0) return { ...kinds, ...pythonKinds };
  say('without gunicorn, which is not installed');
  return kinds;
}

export async function measureInstances(run: Run): Promise<Measurement[]> {
  const starts = kindsHere(run);
  const measured: Measurement[] = [];
  for (const count of counts) {
    run.say(`instances: ${count}`);
    measured.push(...(await withDirectory(places.tmpfs, (directory) => measureCount(run, starts, count, directory))));
  }
  return measured;
}

/** All servers run at once, so that they can take turns. */
async function measureCount(
  run: Run,
  starts: Readonly<Record<string, Start>>,
  count: number,
  directory: string,
): Promise<Measurement[]> {
  const servers = new Map<string, Child>();
  const asker = node('askers');
  const pathOf = (kind: string): string => join(directory, `${Object.keys(starts).indexOf(kind)}.sock`);
  try {
    for (const [kind, start] of Object.entries(starts)) {
      const server = start(pathOf(kind), count);
      servers.set(kind, server);
      for (let instance = 0; instance < count; instance++) await server.line();
    }
    const measured: Measurement[] = [];
    for (const [work, url] of Object.entries(urls)) {
      const shares = new Map<string, number[]>();
      const subjects = Object.keys(starts).map((name) => ({
        name,
        measure: async () => {
          asker.say(`${pathOf(name)} ${url} ${clients} ${choose(run, 300, 200, 30)}`);
          const { perSecond, byProcess } = JSON.parse(await asker.line()) as Answers;
          shares.set(name, [...(shares.get(name) ?? []), shareOfBusiest(Object.values(byProcess))]);
          return perSecond;
        },
      }));
      const about = { part: 'instances', group: `${work}, ${count}`, unit: '/s', better: 'higher' } as const;
      measured.push(...(await takeTurns(about, choose(run, 8, 3, 1), subjects)));
      if (count > 1) measured.push(...busiest(`${work}, busiest of ${count}`, shares));
    }
    return measured;
  } finally {
    await asker.end();
    // `run` and gunicorn end their processes too.
    await Promise.all([...servers.values()].map((server) => server.end('SIGTERM')));
  }
}

/** Returns the connections that the busiest instance got, in percent. */
function shareOfBusiest(answers: readonly number[]): number {
  return (100 * Math.max(...answers)) / answers.reduce((sum, each) => sum + each, 0);
}

function busiest(group: string, shares: ReadonlyMap<string, readonly number[]>): Measurement[] {
  return [...shares].map(([subject, [, ...values]]) => ({
    part: 'instances',
    group,
    subject,
    unit: '%',
    better: 'lower',
    values,
  }));
}
