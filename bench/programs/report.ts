import { writeSync } from 'node:fs';

/**
 * Reports at once that this process listens, and its cost so far: the clock and its processor time,
 * in microseconds.
 */
export function report(): void {
  const { user, system } = process.cpuUsage();
  writeSync(1, `${process.hrtime.bigint() / 1000n} ${user + system}\n`);
}
