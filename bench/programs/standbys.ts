/**
 * Runs many standbys of one address in one process, and reports when the first of them holds it.
 */
import { writeSync } from 'node:fs';
import { claim } from 'reuseaddr';

const [path = '', count] = process.argv.slice(2);
const calledOff = new AbortController();
const waits = Array.from({ length: Number(count) }, () => claim(path, { wait: true, signal: calledOff.signal }));
setTimeout(() => writeSync(1, 'waiting\n'), 50);
await Promise.race(waits);
writeSync(1, `${process.hrtime.bigint() / 1000n}\n`);
calledOff.abort();
await Promise.allSettled(waits);
process.exit();
