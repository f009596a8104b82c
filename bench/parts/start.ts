/**
 * The time of a whole process, from its start until it listens; and the cost of importing the
 * package.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { node, places, program, sharedClock, withDirectory, Child } from '../environment.js';
import { choose, takeTurns, type Measurement, type Run, type Subject } from '../measure.js';

export async function measureStart(run: Run): Promise<Measurement[]> {
  run.say('from exec to listening');
  return await withDirectory(places.tmpfs, async (directory) => {
    const processorTimes = new Map<string, number[]>();
    const path = join(directory, 'app.sock');
    const subject = (name: string, file: string, ...options: string[]): Subject => ({
      name,
      measure: async () => {
        const begin = sharedClock();
        const child = new Child(process.execPath, [...options, program(file), path]);
        const [clock = 0, processorTime = 0] = (await child.line()).split(' ').map(Number);
        await child.end('SIGTERM');
        const times = processorTimes.get(name) ?? [];
        processorTimes.set(name, [...times, processorTime / 1000]);
        return (clock - begin) / 1000;
      },
    });
    const subjects = [
      subject('plain', 'startPlain'),
      subject('reuseaddr', 'startListen'),
      subject('preload', 'startPlain', '--import', 'reuseaddr/register'),
    ].map((one) => ({ ...one, measure: () => cleanly(path, one.measure) }));
    const rounds = choose(run, 60, 8, 1);
    const about = { part: 'start', unit: 'ms', better: 'lower' } as const;
    const wall = await takeTurns({ ...about, group: 'time' }, rounds, subjects);
    const processor = [...processorTimes].map(([name, values]) => ({
      ...about,
      group: 'processor time',
      subject: name,
      values: values.slice(1),
    }));
    return [...wall, ...processor, ...(await measureImport(run))];
  });
}

/** A process that SIGTERM ends leaves its file, and plain Node would not start. */
async function cleanly<Result>(path: string, work: () => Promise<Result> | Result): Promise<Result> {
  rmSync(path, { force: true });
  return await work();
}

async function measureImport(run: Run): Promise<Measurement[]> {
  const times: number[] = [];
  const memory: number[] = [];
  for (let round = 0; round < choose(run, 20, 5, 1); round++) {
    const child = node('import');
    const [time = 0, kibibytes = 0] = (await child.line()).split(' ').map(Number);
    await child.end();
    times.push(time);
    memory.push(kibibytes);
  }
  const about = { part: 'start', group: 'import', better: 'lower' } as const;
  return [
    { ...about, subject: 'time', unit: 'ms', values: times },
    { ...about, subject: 'memory', unit: 'KiB', values: memory },
  ];
}
