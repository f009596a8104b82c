/**
 * An http server whose answers say which process gave them: one instance under `reuseaddr run`, or
 * as many as requested under node:cluster. `/work` takes about half a millisecond of processor
 * time.
 */
import cluster from 'node:cluster';
import { pbkdf2Sync } from 'node:crypto';
import { writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { listen } from 'reuseaddr';

const [kind, path = '', count] = process.argv.slice(2);

const server = createServer(({ url }, response) => {
  if (url === '/work') pbkdf2Sync('password', 'salt', 3000, 32, 'sha256');
  response.end(String(process.pid));
});
const ready = (): void => void writeSync(1, 'ready\n');

if (kind === 'run') {
  await listen(server, path);
  ready();
} else if (cluster.isPrimary) {
  cluster.schedulingPolicy = kind === 'none' ? cluster.SCHED_NONE : cluster.SCHED_RR;
  for (let index = 0; index < Number(count); index++) cluster.fork().once('listening', ready);
} else server.listen(path);
