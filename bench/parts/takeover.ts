/** The slowest requests while a new http server takes over from the old one. */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { node, places, withDirectory, type Child } from '../environment.js';
import { choose, quantile, type Measurement, type Run } from '../measure.js';

/** Until the old server is warm, and for the steady requests. */
const warmMs = 400;
const steadyMs = 200;
/** The takeover: from the `listen` of the new server on. */
const takeoverMs = 200;

type Request = readonly [begin: number, microseconds: number];

const subjects = { cold: 'takeover', warm: 'takeover, one request before' } as const;

export async function measureTakeover(run: Run): Promise<Measurement[]> {
  const values: Record<string, number[]> = { steady: [], takeover: [], [subjects.warm]: [] };
  const asker = node('asker');
  try {
    for (let round = 0; round < choose(run, 30, 4, 1); round++) {
      run.say(`takeover ${round + 1}`);
      for (const [warmth, subject] of Object.entries(subjects)) {
        const { steady, takeover } = await takeOver(warmth, asker);
        values[subject]?.push(takeover);
        if (warmth === 'cold') values['steady']?.push(steady);
      }
    }
  } finally {
    await asker.end();
  }
  const about = { part: 'takeover', group: '99th percentile of requests', unit: 'ms', better: 'lower' } as const;
  return Object.entries(values).map(([subject, measured]) => ({ ...about, subject, values: measured }));
}

async function takeOver(warmth: string, asker: Child): Promise<{ readonly steady: number; readonly takeover: number }> {
  return await withDirectory(places.tmpfs, async (directory) => {
    const path = join(directory, 'app.sock');
    const old = node('reloadHttp', 'warm', path);
    let next: Child | undefined;
    try {
      await old.line();
      asker.say(`go ${path}`);
      await pause(warmMs + steadyMs);
      next = node('reloadHttp', warmth, path);
      const steadyUntil = Number(process.hrtime.bigint() / 1000n);
      const begin = Number(await next.line());
      await pause(takeoverMs);
      asker.say('stop');
      const requests = JSON.parse(await asker.line()) as readonly Request[];
      return {
        steady: percentile(requests, steadyUntil - steadyMs * 1000, steadyUntil),
        takeover: percentile(requests, begin, begin + takeoverMs * 1000),
      };
    } finally {
      await next?.end();
      await old.end();
    }
  });
}

/** Returns the 99th percentile of the requests that began in this time, in milliseconds. */
function percentile(requests: readonly Request[], from: number, until: number): number {
  const took = requests.filter(([begin]) => begin >= from && begin < until).map(([, microseconds]) => microseconds);
  return quantile(took, 0.99) / 1000;
}
