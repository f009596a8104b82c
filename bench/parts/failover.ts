/** How long an address is without a server after `kill -9` of its holder, where a standby waits. */
import { join } from 'node:path';
import { Child, floor, node, places, sharedClock, withDirectory } from '../environment.js';
import { choose, takeTurns, type Measurement, type Run } from '../measure.js';

const quick = ['reuseaddr', 'C', 'pid file, every 50 ms'] as const;
const slow = 'proper-lockfile, stale after 2 s';

export async function measureFailover(run: Run): Promise<Measurement[]> {
  run.say('failover');
  return await withDirectory(places.tmpfs, async (directory) => {
    const about = { part: 'failover', unit: 'ms', better: 'lower' } as const;
    const pairs = [...quick, slow].map((kind) => new Pair(kind, join(directory, `${kind.replaceAll(/\W/g, '')}.sock`)));
    try {
      const subjects = pairs.map((pair) => ({ name: pair.kind, measure: () => pair.failOver() }));
      for (const pair of pairs) await pair.start();
      const all = await takeTurns({ ...about, group: 'SIGKILL' }, choose(run, 40, 8, 1), subjects.slice(0, -1));
      return [...all, ...(await takeTurns({ ...about, group: 'SIGKILL' }, choose(run, 4, 1, 1), subjects.slice(-1)))];
    } finally {
      for (const pair of pairs) await pair.end();
    }
  });
}

/** A holder and a standby, which becomes the holder. */
class Pair {
  readonly kind: string;
  readonly #path: string;
  #holder: Child | undefined;

  constructor(kind: string, path: string) {
    this.kind = kind;
    this.#path = path;
  }

  async start(): Promise<void> {
    this.#holder = await this.#standby();
    await this.#holder.line();
  }

  async failOver(): Promise<number> {
    const standby = await this.#standby();
    // It says that it waits just before it does so.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const begin = sharedClock();
    this.#holder?.process.kill('SIGKILL');
    const end = Number(await standby.line());
    await this.#holder?.end();
    this.#holder = standby;
    return (end - begin) / 1000;
  }

  async #standby(): Promise<Child> {
    const child = this.kind === 'C' ? new Child(floor, ['standby', this.#path]) : node('standby', this.kind, this.#path);
    await child.line();
    return child;
  }

  async end(): Promise<void> {
    await this.#holder?.end();
  }
}
