// Started by pm2. After a kill -9 pm2 starts it again, on the same address.
import { createServer } from 'node:http';
import { listen } from 'reuseaddr';

const server = createServer((request, response) => response.end(`hello from ${process.pid}\n`));
await listen(server, process.argv[2], { wait: 10_000 });
process.send?.('ready');
