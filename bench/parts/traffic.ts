/**
 * The work of a running server's clients: connect, ask, send. In Node, with the server in another
 * process.
 */
import http from 'node:http';
import { connect, type Socket, type NetConnectOpts } from 'node:net';
import { once } from 'node:events';

/** Returns connections a second, one after the other. */
export async function connectionsPerSecond(to: NetConnectOpts, count: number): Promise<number> {
  const begin = performance.now();
  for (let made = 0; made < count; made++) {
    const socket = connect(to);
    await once(socket, 'connect');
    // The byte travels to the server's program and back.
    socket.write('e');
    await once(socket, 'data');
    socket.destroy();
  }
  return count / ((performance.now() - begin) / 1000);
}

/** Returns the microseconds from sending this many bytes until they are all back. */
export async function roundTrip(to: NetConnectOpts, bytes: number, count: number): Promise<number> {
  const socket = await open(to);
  const message = Buffer.alloc(bytes, 'e');
  let left = 0;
  let done = (): void => undefined;
  socket.on('data', (answer) => {
    left -= answer.length;
    if (left === 0) done();
  });
  const begin = performance.now();
  for (let asked = 0; asked < count; asked++) {
    left = bytes;
    const answered = new Promise<void>((resolve) => (done = resolve));
    socket.write(message);
    await answered;
  }
  const microseconds = ((performance.now() - begin) * 1000) / count;
  socket.destroy();
  return microseconds;
}

/** Returns MiB a second, in writes of 64 KiB. */
export async function throughput(to: NetConnectOpts, mebibytes: number): Promise<number> {
  const socket = await open(to);
  const chunk = Buffer.alloc(64 * 1024, 's');
  let confirmed = 0;
  const all = new Promise<void>((resolve) => {
    socket.on('data', (answer) => {
      confirmed += answer.length;
      if (confirmed >= mebibytes) resolve();
    });
  });
  const begin = performance.now();
  for (let sent = 0; sent < mebibytes * 16; sent++) if (!socket.write(chunk)) await once(socket, 'drain');
  await all;
  const rate = mebibytes / ((performance.now() - begin) / 1000);
  socket.destroy();
  return rate;
}

/** Returns HTTP requests a second, over eight connections that stay open. */
export async function requestsPerSecond(to: { socketPath?: string; port?: number }, count: number): Promise<number> {
  const atOnce = 8;
  const agent = new http.Agent({ keepAlive: true, maxSockets: atOnce });
  const begin = performance.now();
  let asked = 0;
  const ask = async (): Promise<void> => {
    while (asked++ < count) await get({ ...to, host: '127.0.0.1', agent });
  };
  await Promise.all(Array.from({ length: atOnce }, ask));
  const rate = count / ((performance.now() - begin) / 1000);
  agent.destroy();
  return rate;
}

function get(options: http.RequestOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    http.get(options, (response) => void response.resume().on('end', resolve)).on('error', reject);
  });
}

async function open(to: NetConnectOpts): Promise<Socket> {
  const socket = connect(to);
  await once(socket, 'connect');
  socket.setNoDelay(true);
  return socket;
}
