// Started by `reuseaddr run`, which passes the listening socket and hears when the server is ready.
import { createServer } from 'node:http';
import { listen } from 'reuseaddr';

const server = createServer((request, response) => response.end(`hello from ${process.pid}\n`));
const claim = await listen(server, process.env.ADDRESS ?? '/tmp/pm2-app.sock');
// Requests in progress complete.
process.once('SIGTERM', () => void claim.release());
