/**
 * Holds many addresses: `addresses DIRECTORY held|plain COUNT...`. At each of the counts it prints
 * how many microseconds each of the last hundred took, and waits for a line.
 */
import { writeSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { listen } from 'reuseaddr';

const [directory = '', kind, ...counts] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const sampleMax = 100;
const warmRounds = 300;
const times: number[] = [];

// The first ones would show the cost of the compiler, not of addresses.
for (let round = 0; round < warmRounds; round++) {
  const server = createServer();
  await listenOn(server, join(directory, `warm-${round}.sock`));
  await new Promise((resolve) => server.close(resolve));
}

for (const count of counts.map(Number)) {
  while (times.length < count) {
    const path = join(directory, `${times.length}.sock`);
    const begin = performance.now();
    await listenOn(createServer(), path);
    times.push((performance.now() - begin) * 1000);
  }
  const last = times.slice(-sampleMax).sort((one, other) => one - other);
  writeSync(1, `${last[last.length >> 1] ?? 0}\n`);
  await lines.next();
}

async function listenOn(server: Server, path: string): Promise<void> {
  if (kind === 'held') await listen(server, path);
  else await new Promise<void>((resolve) => void server.listen(path, resolve));
}
