/**
 * Connects again and again, several at a time, from `go PATH` to `stop`, and prints the results.
 */
import { writeSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import type { Load } from '../parts/handover.js';

const atOnce = 4;
let load: Load | undefined;
let lastAnswer = 0;

createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'stop') {
    writeSync(1, `${JSON.stringify(load)}\n`);
    load = undefined;
    return;
  }
  const mine: Load = { answered: 0, refused: 0, reset: 0, pauseMsMax: 0 };
  load = mine;
  lastAnswer = performance.now();
  for (let client = 0; client < atOnce; client++) void connectUntilStopped(line.slice('go '.length), mine);
});

async function connectUntilStopped(path: string, mine: Load): Promise<void> {
  while (isWanted(mine)) count(mine, await ask(path));
}

/** Whether this load runs, until the next `stop`. */
function isWanted(mine: Load): boolean {
  return load === mine;
}

function count(mine: Load, outcome: 'answered' | 'refused' | 'reset' | 'full'): void {
  if (outcome === 'answered') {
    const now = performance.now();
    mine.pauseMsMax = Math.max(mine.pauseMsMax, now - lastAnswer);
    lastAnswer = now;
  }
  if (outcome !== 'full') mine[outcome] += 1;
}

function ask(path: string): Promise<'answered' | 'refused' | 'reset' | 'full'> {
  return new Promise((resolve) => {
    let answered = false;
    let outcome: 'refused' | 'reset' | 'full' = 'reset';
    const socket = connect(path);
    socket.on('data', () => (answered = true));
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED' || code === 'ENOENT') outcome = 'refused';
      // The queue is full: the server lives, and is asked again.
      if (code === 'EAGAIN') outcome = 'full';
    });
    socket.on('close', () => resolve(answered ? 'answered' : outcome));
  });
}
