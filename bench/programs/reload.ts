/**
 * A server that answers each connection with one byte, and the way in which a new one replaces it.
 */
import cluster from 'node:cluster';
import { renameSync, rmSync, writeSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import { listen } from 'reuseaddr';

const [kind, path = ''] = process.argv.slice(2);
/** Long enough for every open connection. */
const drainMs = 300;

const server: Server = createServer((socket) => {
  socket.on('error', () => undefined);
  socket.end('x');
});
const ready = (): void => void writeSync(1, 'ready\n');
const leave = (): void => void setTimeout(() => process.exit(), drainMs);

if (kind === 'reuseaddr') {
  const held = await listen(server, path, { takeover: true, handover: true, mode: 0o600 });
  held.on('handover', leave);
  ready();
} else if (kind === 'node:cluster') {
  if (cluster.isPrimary) reload();
  else server.listen(path);
} else {
  const own = kind === 'bind + rename' ? `${path}.${process.pid}` : path;
  rmSync(own, { force: true });
  server.listen(own, () => {
    if (own !== path) renameSync(own, path);
    ready();
  });
  process.on('SIGTERM', () => {
    server.close();
    leave();
  });
}

function reload(): void {
  let current = cluster.fork();
  current.once('listening', ready);
  createInterface({ input: process.stdin }).on('line', () => {
    const old = current;
    current = cluster.fork();
    current.once('listening', () => {
      old.disconnect();
      ready();
    });
  });
}
