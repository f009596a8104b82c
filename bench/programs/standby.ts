/**
 * Waits until the address is free, listens, and prints when that was. Its first argument selects
 * the way to wait.
 */
import { readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { listen } from 'reuseaddr';

interface ProperLockfile {
  lock(path: string, options: object): Promise<unknown>;
}

const [kind, path = ''] = process.argv.slice(2);
const pollMs = 50;
const server = createServer();

writeSync(1, 'waiting\n');
if (kind === 'reuseaddr') await listen(server, path, { wait: true });
else {
  if (kind === 'pid file, every 50 ms') await waitForPidFile();
  else await waitForLockfile();
  rmSync(path, { force: true });
  await new Promise<void>((resolve) => void server.listen(path, resolve));
}
writeSync(1, `${process.hrtime.bigint() / 1000n}\n`);

async function waitForPidFile(): Promise<void> {
  while (holderLives()) await pause(pollMs);
  writeFileSync(`${path}.pid`, String(process.pid));
}

function holderLives(): boolean {
  try {
    process.kill(Number(readFileSync(`${path}.pid`, 'utf8')), 0);
    return true;
  } catch {
    return false;
  }
}

async function waitForLockfile(): Promise<void> {
  const peers = createRequire(fileURLToPath(new URL('../../../bench/peers/package.json', import.meta.url)));
  // Two seconds is the shortest that it accepts.
  const options = { realpath: false, stale: 2000, retries: { forever: true, factor: 1, minTimeout: pollMs } };
  await (peers('proper-lockfile') as ProperLockfile).lock(path, options);
}
