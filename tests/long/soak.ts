import fs from 'node:fs';
import { Random } from './random.js';
import { now } from './soakActor.js';
import { Arena, type Counts } from './soakArena.js';

const progressMs = 10_000;

/**
 * Processes start, wait, take over, release, exit, are killed, stopped and continued, at random
 * from the seed, on several addresses at once, while an observer connects to each.
 *
 * @throws {SoakFailed} a guarantee was broken
 */
export async function soak(root: string, minutes: number, seed: number, progress: (line: string) => void): Promise<Counts> {
  const counts: Counts = {
    rounds: 0,
    operations: 0,
    acquired: 0,
    handedOver: 0,
    refused: 0,
    kills: 0,
    exits: 0,
    stops: 0,
    lockFilesRemoved: 0,
    strays: 0,
    displacers: 0,
    looks: 0,
    answered: 0,
  };
  const directories = [`${root}/a`, `${root}/b`, `${root}/${'l'.repeat(100)}`];
  for (const directory of directories) fs.mkdirSync(directory);
  const random = new Random(seed);
  const arenas = [
    ...directories.map(
      (directory) => new Arena(`${directory}/app.sock`, directory, seed, new Random(random.below(2 ** 31)), counts),
    ),
    new Arena(`@reuseaddr-soak-${process.pid}`, undefined, seed, new Random(random.below(2 ** 31)), counts),
  ];
  const began = now();
  const until = began + minutes * 60_000;
  const timer = setInterval(() => progress(describe(counts, now() - began)), progressMs);
  try {
    const done = { yes: false };
    await Promise.all(
      arenas.map(async (arena) => {
        try {
          while (now() < until && !done.yes) await arena.round();
        } finally {
          done.yes = true;
        }
      }),
    );
  } finally {
    clearInterval(timer);
    for (const arena of arenas) arena.end();
  }
  progress(describe(counts, now() - began));
  return counts;
}

function describe(counts: Counts, elapsedMs: number): string {
  const parts = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  return `soak: ${(elapsedMs / 1000).toFixed(0)} s, ${parts.join(', ')}`;
}
