import { createServer } from 'node:net';
import { listen } from 'reuseaddr';
import { report } from './report.js';

await listen(createServer(), process.argv[2] ?? '');
report();
