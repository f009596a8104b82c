import { createServer } from 'node:net';
import { report } from './report.js';

createServer().listen(process.argv[2], () => report());
