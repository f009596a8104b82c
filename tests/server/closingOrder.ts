import { spawnSync } from 'node:child_process';
import fs from 'node:fs';

const library = import.meta.resolve('reuseaddr');

/**
 * Terminates a worker that holds an address, and gives the places of the closes of its socket and
 * of its lock file among all closes of the process.
 */
export function closingOrder(directory: string, type: string): { readonly socket: number; readonly lock: number } {
  const log = `${directory}/log`;
  const inside = `const { parentPort } = require('node:worker_threads');
    import(${JSON.stringify(library)}).then(async ({ claim }) => {
      const { fd } = await claim(${JSON.stringify(`${directory}/app.sock`)}, { type: ${JSON.stringify(type)} });
      const fs = require('node:fs');
      const lock = fs.readdirSync('/proc/self/fd').find((each) => {
        try { return fs.readlinkSync('/proc/self/fd/' + each).endsWith('.lock'); } catch { return false; }
      });
      parentPort.postMessage([fd, Number(lock)]);
      setInterval(() => {}, 1e6);
    });`;
  const program = `const { Worker } = require('node:worker_threads');
    const worker = new Worker(${JSON.stringify(inside)}, { eval: true });
    worker.once('message', async (fds) => { await worker.terminate(); console.log(JSON.stringify(fds)); });`;
  const strace = ['-f', '-qq', '-o', log, '-e', 'trace=close'];
  const { stdout } = spawnSync('strace', [...strace, process.execPath, '-e', program], { encoding: 'utf8' });
  const [socket, lock] = JSON.parse(stdout) as [number, number];
  const closes = fs.readFileSync(log, 'utf8').split('\n');
  const last = (fd: number): number => closes.findLastIndex((line) => line.includes(` close(${fd})`) && line.endsWith(' = 0'));
  return { socket: last(socket), lock: last(lock) };
}
