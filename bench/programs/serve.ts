/**
 * All servers of the traffic benchmarks in one process, so that the machine affects all of them
 * alike.
 */
import { writeSync } from 'node:fs';
import http from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { listen } from 'reuseaddr';

const [directory = ''] = process.argv.slice(2);

/** The first byte selects the service: `e` echoes every byte; `s` answers one byte for each MiB. */
function serve(socket: Socket): void {
  let streaming: boolean | undefined;
  let seen = 0;
  socket.setNoDelay(true);
  socket.on('error', () => undefined);
  socket.on('data', (bytes) => {
    streaming ??= bytes[0] === 's'.charCodeAt(0);
    if (!streaming) return void socket.write(bytes);
    const before = seen >> 20;
    seen += bytes.length;
    if (seen >> 20 > before) socket.write('x'.repeat((seen >> 20) - before));
  });
}

function listenPlain(server: Server, where: string | number): Promise<void> {
  return new Promise((resolve) => {
    if (typeof where === 'string') server.listen(where, 4096, resolve);
    else server.listen(where, '127.0.0.1', 4096, resolve);
  });
}

const port = (server: Server): number => (server.address() as { port: number }).port;
const answer: http.RequestListener = (_request, response) => void response.end('ok');

const tcp = createServer(serve);
const tcpHttp = http.createServer(answer);
await listenPlain(createServer(serve), join(directory, 'plain'));
await listenPlain(http.createServer(answer), join(directory, 'http'));
await listenPlain(tcp, 0);
await listenPlain(tcpHttp, 0);
await listen(createServer(serve), join(directory, 'held'), { backlog: 4096 });
await listen(createServer(serve), join(directory, 'allow'), { backlog: 4096, allow: { uid: [process.geteuid?.() ?? 0] } });
await listen(createServer(serve), join(directory, 'group'), { backlog: 4096, allow: { gid: [process.getegid?.() ?? 0] } });
writeSync(1, `${port(tcp)} ${port(tcpHttp)}\n`);

// The processor time so far, in microseconds, whenever it is asked for.
createInterface({ input: process.stdin }).on('line', () => {
  const { user, system } = process.cpuUsage();
  writeSync(1, `${user + system}\n`);
});
