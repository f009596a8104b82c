/**
 * A Unix socket compared with TCP over loopback, in Node and in C; and the settings of a Unix
 * socket that matter.
 */
import { execFileSync } from 'node:child_process';
import { createServer, connect, type NetConnectOpts } from 'node:net';
import { join } from 'node:path';
import { floor, node, places, withDirectory } from '../environment.js';
import { choose, takeTurns, type Measurement, type Run, type Subject } from '../measure.js';
import { connectionsPerSecond, requestsPerSecond, roundTrip, throughput } from './traffic.js';

export async function measureTcp(run: Run): Promise<Measurement[]> {
  return [...(await measureNode(run)), ...(await measureC(run)), ...(await measureBacklog(run))];
}

async function measureNode(run: Run): Promise<Measurement[]> {
  return await withDirectory(places.tmpfs, async (directory) => {
    const server = node('serve', directory);
    try {
      const [port = 0, httpPort = 0] = (await server.line()).split(' ').map(Number);
      const rounds = choose(run, 40, 4, 1);
      const measure = (
        group: string,
        unit: string,
        better: Measurement['better'],
        one: (to: NetConnectOpts) => Promise<number>,
      ): Promise<Measurement[]> => {
        run.say(`${group}, Unix and TCP`);
        return takeTurns({ part: 'tcp', group: `Node: ${group}`, unit, better }, rounds, [
          { name: 'Unix', measure: () => one({ path: join(directory, 'plain') }) },
          { name: 'TCP', measure: () => one({ port, host: '127.0.0.1' }) },
        ]);
      };
      const requests = choose(run, 600, 400, 20);
      return [
        ...(await measure('round trip, 64 B', 'µs', 'lower', (to) => roundTrip(to, 64, choose(run, 200, 200, 10)))),
        ...(await measure('round trip, 16 KiB', 'µs', 'lower', (to) => roundTrip(to, 16_384, choose(run, 100, 100, 10)))),
        ...(await measure('throughput, 64 KiB', 'MiB/s', 'higher', (to) => throughput(to, choose(run, 24, 16, 1)))),
        ...(await measure('connections', '/s', 'higher', (to) => connectionsPerSecond(to, choose(run, 80, 80, 10)))),
        ...(await takeTurns({ part: 'tcp', group: 'Node: HTTP requests', unit: '/s', better: 'higher' }, rounds, [
          { name: 'Unix', measure: () => requestsPerSecond({ socketPath: join(directory, 'http') }, requests) },
          { name: 'TCP', measure: () => requestsPerSecond({ port: httpPort }, requests) },
        ])),
      ];
    } finally {
      await server.end();
    }
  });
}

async function measureC(run: Run): Promise<Measurement[]> {
  run.say('the same in C');
  const rounds = choose(run, 15, 3, 1);
  const families = { Unix: 'unix', TCP: 'tcp' } as const;
  const each = (...given: string[]): Subject[] =>
    Object.entries(families).map(([name, family]) => ({ name, measure: () => ask(given[0] ?? '', family, ...given.slice(1)) }));
  const times = String(choose(run, 5000, 1000, 50));
  const mebibytes = String(choose(run, 512, 64, 4));
  const bufferKiB = [8, 32, 208, 1024, 4096];
  return [
    ...(await takeTurns(
      { part: 'tcp', group: 'C: round trip, 64 B', unit: 'µs', better: 'lower' },
      rounds,
      each('echo', '64', times),
    )),
    ...(await takeTurns(
      { part: 'tcp', group: 'C: round trip, 16 KiB', unit: 'µs', better: 'lower' },
      rounds,
      each('echo', '16384', times),
    )),
    ...(await takeTurns(
      { part: 'tcp', group: 'C: throughput, 64 KiB', unit: 'MiB/s', better: 'higher' },
      rounds,
      each('stream', '65536', mebibytes, '0'),
    )),
    ...(await takeTurns({ part: 'tcp', group: 'SO_SNDBUF (C)', unit: 'MiB/s', better: 'higher' }, rounds, [
      { name: 'default', measure: () => ask('stream', 'unix', '65536', mebibytes, '0') },
      ...bufferKiB.map((kib) => ({
        name: `${kib} KiB`,
        // The kernel doubles it.
        measure: () => ask('stream', 'unix', '65536', mebibytes, String((kib * 1024) / 2)),
      })),
    ])),
  ];
}

function ask(...given: string[]): number {
  return Number(execFileSync(floor, given, { encoding: 'utf8' }));
}

/** Measures how many connections of a burst fail with EAGAIN because the queue is full. */
async function measureBacklog(run: Run): Promise<Measurement[]> {
  const burst = choose(run, 1000, 500, 50);
  return await withDirectory(places.tmpfs, async (directory) => {
    const subjects = [1, 16, 128, 511, 4096].map((backlog) => ({
      name: `backlog ${backlog}`,
      measure: () => failuresOfBurst(join(directory, `${backlog}.sock`), backlog, burst),
    }));
    const about = { part: 'tcp', group: `failed of ${burst} at once`, unit: 'connections', better: 'lower' } as const;
    return await takeTurns(about, choose(run, 8, 2, 1), subjects);
  });
}

/**
 * Client and server share one process: the server accepts only after all have connected, like a
 * busy one.
 */
async function failuresOfBurst(path: string, backlog: number, count: number): Promise<number> {
  const server = createServer((socket) => void socket.on('error', () => undefined).destroy());
  await new Promise<void>((resolve) => void server.listen(path, backlog, resolve));
  const failures = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<number>((resolve) => {
          const socket = connect(path, () => resolve(0));
          socket.on('error', () => resolve(1));
          socket.on('close', () => resolve(0));
        }),
    ),
  );
  await new Promise((resolve) => server.close(resolve));
  return failures.reduce((sum, failure) => sum + failure, 0);
}
