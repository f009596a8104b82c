/**
 * An http server that takes over, and prints the clock before it listens. With `warm`, it first
 * serves one request on an abstract name, so that V8 has compiled the code of a request.
 */
import { writeSync } from 'node:fs';
import http from 'node:http';
import { listen } from 'reuseaddr';

const [warmth, path = ''] = process.argv.slice(2);
/** Long enough for every open connection. */
const drainMs = 300;

const answer: http.RequestListener = (_request, response) => void response.end('ok');

if (warmth === 'warm') await serveOnce();
const begin = process.hrtime.bigint() / 1000n;
const held = await listen(http.createServer(answer), path, { takeover: true, handover: true });
held.on('handover', () => void setTimeout(() => process.exit(), drainMs));
writeSync(1, `${begin}\n`);

async function serveOnce(): Promise<void> {
  const server = http.createServer(answer);
  const socketPath = `\0warm-${process.pid}`;
  await new Promise<void>((resolve) => void server.listen(socketPath, resolve));
  await new Promise<void>((resolve) => {
    http.get({ socketPath, agent: false }, (response) => void response.resume().on('end', resolve));
  });
  server.close();
}
