/** Prints the cost of importing the package: milliseconds, and KiB of memory. */
import { writeSync } from 'node:fs';
// A program that listens loads it anyway.
import 'node:net';

const memoryBefore = process.memoryUsage.rss();
const begin = performance.now();
await import('reuseaddr');
const milliseconds = performance.now() - begin;
writeSync(1, `${milliseconds} ${(process.memoryUsage.rss() - memoryBefore) / 1024}\n`);
