// node server.mjs ADDRESS: serves, or waits until the other container is gone.
import { createServer } from 'node:http';
import { hostname } from 'node:os';
import { listen } from 'reuseaddr';

const server = createServer((request, response) => response.end(`hello from ${hostname()}\n`));
await listen(server, process.argv[2], { wait: true, mode: 0o666 });
process.on('SIGTERM', () => server.close());
