/**
 * How the costs grow with many addresses, many starters, many standbys, and many sockets to list.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { claim } from 'reuseaddr';
import { cleanEnvironment, commandLine, node, places, sharedClock, withDirectory } from '../environment.js';
import { choose, takeTurns, type Measurement, type Run } from '../measure.js';

export async function measureGrowth(run: Run): Promise<Measurement[]> {
  return [
    ...(await measureAddresses(run)),
    ...(await measureStarters(run)),
    ...(await measureStandbys(run)),
    ...(await measureList(run)),
  ];
}

const about = { part: 'growth', better: 'lower' } as const;

/** Two descriptors for each address, and some spare ones. */
function addressesMax(): number {
  const limit = Number(execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }));
  return Number.isNaN(limit) ? 10_000 : Math.min(10_000, Math.floor((limit - 100) / 2 / 100) * 100);
}

async function measureAddresses(run: Run): Promise<Measurement[]> {
  const counts = choose(run, [1, 10, 100, 1000, 3000, addressesMax()], [1, 10, 100, 1000], [1, 10]);
  const rounds = choose(run, 5, 1, 1);
  const values = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    run.say(`${counts.at(-1) ?? 0} addresses in one process`);
    for (const kind of ['plain', 'held'] as const) {
      await withDirectory(places.tmpfs, async (directory) => {
        const holder = node('addresses', directory, kind, ...counts.map(String));
        for (const count of counts) {
          const name = `${kind === 'held' ? 'reuseaddr' : 'plain'}, ${count}`;
          values.set(name, [...(values.get(name) ?? []), Number(await holder.line())]);
          holder.say('next');
        }
        await holder.end();
      });
    }
  }
  return [...values].map(([subject, measured]) => ({
    ...about,
    group: 'one more address',
    unit: 'µs',
    subject,
    values: measured,
  }));
}

/** Measures until all but one have been refused. Eight processes share the starters. */
async function measureStarters(run: Run): Promise<Measurement[]> {
  const counts = choose(run, [2, 8, 32, 128, 256], [2, 8, 32], [2]);
  run.say(`${counts.at(-1) ?? 0} starters on one address`);
  const processes = Array.from({ length: 8 }, () => node('starters'));
  const subjects = counts.map((count) => ({
    name: `${count} starters`,
    measure: () =>
      withDirectory(places.tmpfs, async (directory) => {
        const path = join(directory, 'app.sock');
        const used = processes.slice(0, Math.min(processes.length, count));
        const begin = sharedClock();
        for (const one of used) one.say(`go ${path} ${count / used.length}`);
        const answers = await Promise.all(used.map(async (one) => (await one.line()).split(' ').map(Number)));
        for (const one of used) one.say('end');
        await Promise.all(used.map((one) => one.line()));
        const winners = answers.reduce((sum, [held = 0]) => sum + held, 0);
        if (winners !== 1) throw new Error(`${winners} of ${count} starters have the address.`);
        return (Math.max(...answers.map(([, clock = 0]) => clock)) - begin) / 1000;
      }),
  }));
  try {
    return await takeTurns({ ...about, group: 'starters', unit: 'ms' }, choose(run, 15, 3, 1), subjects);
  } finally {
    for (const one of processes) await one.end();
  }
}

/** Measures from the release to the next holder. */
async function measureStandbys(run: Run): Promise<Measurement[]> {
  const counts = choose(run, [1, 4, 16, 64, 256], [1, 16], [1]);
  run.say(`${counts.at(-1) ?? 0} standbys`);
  const subjects = counts.map((count) => ({
    name: `${count} standbys`,
    measure: () =>
      withDirectory(places.tmpfs, async (directory) => {
        const path = join(directory, 'app.sock');
        const held = await claim(path);
        const standbys = node('standbys', path, String(count));
        await standbys.line();
        const begin = sharedClock();
        await held.release();
        const end = Number(await standbys.line());
        await standbys.end();
        return (end - begin) / 1000;
      }),
  }));
  return await takeTurns({ ...about, group: 'standbys', unit: 'ms' }, choose(run, 10, 2, 1), subjects);
}

async function measureList(run: Run): Promise<Measurement[]> {
  const counts = choose(run, [100, 1000, addressesMax()], [1000], [10]);
  const rounds = choose(run, 7, 1, 1);
  const measurements: Measurement[] = [];
  for (const count of counts) {
    run.say(`list ${count} sockets`);
    const measured = await withDirectory(places.tmpfs, async (directory) => {
      const holder = node('addresses', directory, 'held', String(count));
      try {
        await holder.line();
        return await takeTurns({ ...about, group: 'reuseaddr ls', unit: 'ms' }, rounds, [
          { name: `${count} sockets`, measure: () => milliseconds([commandLine, 'ls', '--json', directory]) },
        ]);
      } finally {
        await holder.end();
      }
    });
    measurements.push(...measured);
  }
  const nothing = { name: 'a Node that does nothing', measure: () => milliseconds(['-e', '0']) };
  return [...measurements, ...(await takeTurns({ ...about, group: 'reuseaddr ls', unit: 'ms' }, rounds, [nothing]))];
}

function milliseconds(args: string[]): number {
  const begin = performance.now();
  execFileSync(process.execPath, args, { maxBuffer: 2 ** 28, env: cleanEnvironment });
  return performance.now() - begin;
}
