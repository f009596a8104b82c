/** Says what importing the package costs: milliseconds, and KiB of memory. */
import { writeSync } from 'node:fs';
import 'node:net'; // A program that listens has it anyway.

const memoryBefore = process.memoryUsage.rss();
const begin = performance.now();
await import('reuseaddr');
const milliseconds = performance.now() - begin;
writeSync(1, `${milliseconds} ${(process.memoryUsage.rss() - memoryBefore) / 1024}\n`);
