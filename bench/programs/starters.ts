/**
 * On each line `go PATH COUNT`, makes COUNT attempts to claim the address at once, and prints how
 * many succeeded. Releases it at `end`.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { claim, type Claim } from 'reuseaddr';

let held: Claim[] = [];

for await (const line of createInterface({ input: process.stdin })) {
  const [word, path = '', count] = line.split(' ');
  if (word === 'go') {
    const outcomes = await Promise.allSettled(Array.from({ length: Number(count) }, () => claim(path)));
    held = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    writeSync(1, `${held.length} ${process.hrtime.bigint() / 1000n}\n`);
  } else {
    for (const one of held) await one.release();
    writeSync(1, 'ended\n');
  }
}
