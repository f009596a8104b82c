/**
 * The time for which an address has no server after `kill -9` of its holder, while a standby waits.
 */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Child, floor, nodeOf, nodes, places, sharedClock, withDirectory } from '../environment.js';
import { choose, takeTurns, type Measurement, type Run } from '../measure.js';

const quick = ['reuseaddr', 'C', 'pid file, every 50 ms'] as const;
const settledMs = 100;
const slow = 'proper-lockfile, stale after 2 s';

export async function measureFailover(run: Run): Promise<Measurement[]> {
  const measured: Measurement[] = [];
  for (const [version, path] of nodes()) {
    run.say(`failover, ${version}`);
    const group = `SIGKILL, ${version}`;
    const others = path === process.execPath;
    measured.push(...(await measureKinds(path, group, others ? quick : quick.slice(0, 2), choose(run, 40, 6, 1))));
    if (others) measured.push(...(await measureKinds(path, group, [slow], choose(run, 6, 1, 1))));
  }
  return measured;
}

function measureKinds(node: string, group: string, kinds: readonly string[], rounds: number): Promise<Measurement[]> {
  return withDirectory(places.tmpfs, async (directory) => {
    const pairs = kinds.map((kind) => new Pair(node, kind, join(directory, `${kind.replaceAll(/\W/g, '')}.sock`)));
    try {
      const subjects = pairs.map((pair) => ({ name: pair.kind, measure: () => pair.failOver() }));
      for (const pair of pairs) await pair.start();
      return await takeTurns({ part: 'failover', group, unit: 'ms', better: 'lower' }, rounds, subjects);
    } finally {
      for (const pair of pairs) await pair.end();
    }
  });
}

/**
 * A holder, and a standby that becomes the holder.
 *
 * The holder is a Node process in all cases: the kernel frees the memory of a process before it
 * closes its files. So a large process takes a few milliseconds to die, and its lock is held until
 * then.
 */
class Pair {
  readonly kind: string;
  readonly #node: string;
  readonly #path: string;
  #holder: Child | undefined;

  constructor(node: string, kind: string, path: string) {
    this.#node = node;
    this.kind = kind;
    this.#path = path;
  }

  async start(): Promise<void> {
    // The program in C takes the very same lock.
    this.#holder = await waiting(this.#standby(this.kind === 'C' ? 'reuseaddr' : this.kind));
    await this.#holder.line();
  }

  async failOver(): Promise<number> {
    const command = this.kind === 'C' ? new Child(floor, ['standby', this.#path]) : this.#standby(this.kind);
    const standby = await waiting(command);
    // It reports that it waits just before it does so.
    await pause(settledMs);
    const begin = sharedClock();
    this.#holder?.process.kill('SIGKILL');
    const end = Number(await standby.line());
    await this.#holder?.end();
    this.#holder = standby;
    if (this.kind === 'C') {
      await standby.end();
      await this.start();
    }
    return (end - begin) / 1000;
  }

  #standby(kind: string): Child {
    return nodeOf(this.#node, 'standby', kind, this.#path);
  }

  async end(): Promise<void> {
    await this.#holder?.end();
  }
}

/** It has reported that it waits. */
async function waiting(child: Child): Promise<Child> {
  await child.line();
  return child;
}
