/**
 * Four clients, each of which sends an http request over a new connection every few milliseconds,
 * from `go PATH` to `stop`. Prints when each request began, in microseconds of the shared clock,
 * and how long it took.
 */
import { writeSync } from 'node:fs';
import http from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const clients = 4;
const pauseMs = 2;
let path: string | undefined;
let requests: (readonly [begin: number, microseconds: number])[] = [];
let asking: Promise<unknown> = Promise.resolve();

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'stop') {
    path = undefined;
    await asking;
    const all = JSON.stringify(requests);
    requests = [];
    writeSync(1, `${all}\n`);
  } else {
    const asked = (path = line.slice('go '.length));
    asking = Promise.all(Array.from({ length: clients }, () => askUntilStopped(asked)));
  }
}

async function askUntilStopped(asked: string): Promise<void> {
  while (isAsked(asked)) {
    const begin = now();
    await get(asked);
    requests.push([begin, now() - begin]);
    await pause(pauseMs);
  }
}

/** Whether clients send requests there, until the next `stop`. */
function isAsked(asked: string): boolean {
  return path === asked;
}

function now(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

function get(socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    http.get({ socketPath, agent: false }, (response) => void response.resume().on('end', resolve)).on('error', reject);
  });
}
