/** The cost of a held address for its clients (none), and the cost of `allow` for them. */
import { join } from 'node:path';
import { node, places, withDirectory, type Child } from '../environment.js';
import { choose, takeTurns, type Measurement, type Run } from '../measure.js';
import { connectionsPerSecond, roundTrip, throughput } from './traffic.js';

const subjects = { plain: 'plain', reuseaddr: 'held', 'reuseaddr, allow': 'allow' } as const;

/** Rules, by their kinds. */
const rules = { plain: 'plain', 'allow, uid': 'allow', 'allow, gid': 'group' } as const;

export async function measureBytes(run: Run): Promise<Measurement[]> {
  return await withDirectory(places.tmpfs, async (directory) => {
    const server = node('serve', directory);
    try {
      await server.line();
      const rounds = choose(run, 150, 12, 1);
      const measure = (
        group: string,
        unit: string,
        better: Measurement['better'],
        one: (to: { path: string }) => Promise<number>,
      ): Promise<Measurement[]> => {
        run.say(`${group}, plain and held`);
        const turns = Object.entries(subjects).map(([name, file]) => ({
          name,
          measure: () => one({ path: join(directory, file) }),
        }));
        return takeTurns({ part: 'bytes', group, unit, better }, rounds, turns);
      };
      return [
        ...(await measure('connections', '/s', 'higher', (to) => connectionsPerSecond(to, choose(run, 200, 100, 10)))),
        ...(await measure('round trip, 64 B', 'µs', 'lower', (to) => roundTrip(to, 64, choose(run, 200, 200, 10)))),
        ...(await measure('throughput', 'MiB/s', 'higher', (to) => throughput(to, choose(run, 24, 16, 1)))),
        ...(await measureRules(run, server, directory)),
      ];
    } finally {
      await server.end();
    }
  });
}

/** Measures the processor time that a connection costs the server. */
async function measureRules(run: Run, server: Child, directory: string): Promise<Measurement[]> {
  run.say('connections, plain and with rules');
  const spentMicroseconds = async (): Promise<number> => {
    server.say('');
    return Number(await server.line());
  };
  const count = choose(run, 400, 200, 10);
  const turns = Object.entries(rules).map(([name, file]) => ({
    name,
    measure: async () => {
      const before = await spentMicroseconds();
      await connectionsPerSecond({ path: join(directory, file) }, count);
      return ((await spentMicroseconds()) - before) / count;
    },
  }));
  const about = { part: 'bytes', group: 'server time of a connection', unit: 'µs', better: 'lower' } as const;
  return await takeTurns(about, choose(run, 100, 12, 1), turns);
}
