/**
 * The view of clients during a reload: four of them connect without a pause while a new server
 * replaces the old one.
 */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { node, places, withDirectory, type Child } from '../environment.js';
import { choose, type Measurement, type Run } from '../measure.js';

/** The results of all clients in one reload. */
export interface Load {
  answered: number;
  /** ECONNREFUSED, ENOENT. */
  refused: number;
  /** Connected, and closed without an answer. */
  reset: number;
  /** The longest time without an answer. */
  pauseMsMax: number;
}

const kinds = ['reuseaddr', 'unlink + rebind', 'bind + rename', 'node:cluster'] as const;
const groups = [
  { group: 'longest pause', field: 'pauseMsMax', unit: 'ms', better: 'lower' },
  { group: 'refused', field: 'refused', unit: 'connections', better: 'lower' },
  { group: 'reset', field: 'reset', unit: 'connections', better: 'lower' },
  { group: 'answered', field: 'answered', unit: 'connections', better: 'higher' },
] as const;

/** The traffic before the reload, and after the old server has left. */
const besidesMs = 200;

export async function measureHandover(run: Run): Promise<Measurement[]> {
  const loads = new Map<string, Load[]>(kinds.map((kind) => [kind, []]));
  const client = node('client');
  try {
    for (let round = 0; round < choose(run, 10, 2, 1); round++) {
      run.say(`reload ${round + 1} of each kind`);
      for (const kind of kinds) loads.get(kind)?.push(await reload(kind, client));
    }
  } finally {
    await client.end();
  }
  return groups.flatMap(({ group, field, unit, better }) =>
    [...loads].map(([subject, seen]) => ({
      part: 'handover',
      group,
      subject,
      unit,
      better,
      values: seen.map((load) => load[field]),
    })),
  );
}

async function reload(kind: string, client: Child): Promise<Load> {
  return await withDirectory(places.tmpfs, async (directory) => {
    const path = join(directory, 'app.sock');
    const old = node('reload', kind, path);
    let next: Child | undefined;
    try {
      await old.line();
      client.say(`go ${path}`);
      await pause(besidesMs);
      if (kind === 'node:cluster') {
        old.say('reload');
        await old.line();
      } else {
        next = node('reload', kind, path);
        await next.line();
        if (kind !== 'reuseaddr') old.process.kill('SIGTERM');
      }
      await pause(besidesMs);
      client.say('stop');
      return JSON.parse(await client.line()) as Load;
    } finally {
      await next?.end();
      await old.end();
    }
  });
}
