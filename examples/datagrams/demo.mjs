// Runs both programs under `reuseaddr run`, replaces each while it is in use, and counts.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const require = createRequire(import.meta.url);
const tool = join(dirname(require.resolve('reuseaddr')), 'cli.cjs');
const folder = mkdtempSync(join(tmpdir(), 'demo-'));

/** Starts a program, has `use` use it, replaces it in the meantime, and stops it when all is `done`. */
async function replaced(type, address, program, use, done = () => true) {
  const args = [tool, 'run', '--verbose', `--type=${type}`, address, '--', 'python3', ...program];
  const run = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'pipe'] });
  const lines = createInterface(run.stderr)[Symbol.asyncIterator]();
  const ready = async () => {
    for (let line = await lines.next(); !line.done; line = await lines.next()) if (line.value.endsWith('is ready.')) return;
    throw new Error('the program ended');
  };
  await ready();
  const using = spawn('python3', use, { stdio: 'inherit' });
  const used = new Promise((resolve) => using.once('exit', resolve));
  run.kill('SIGHUP');
  await ready();
  await used;
  // The stop closes the queue, and with it all that was not read yet.
  while (!done()) await sleep(10);
  run.kill('SIGTERM');
  await new Promise((resolve) => run.once('exit', resolve));
}

const send = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
for i in range(2000): s.send(b"message %d" % i)`;
const ask = `import socket, sys
for i in range(50):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(sys.argv[1])
        for message in (b"one", b"two"):
            s.send(message)
            assert s.recv(100) == message
print("50 clients, 100 messages echoed")`;

try {
  const log = join(folder, 'log');
  const logged = () => readFileSync(log, 'utf8').trim().split('\n');
  const socket = join(folder, 'log.sock');
  await replaced('datagram', socket, ['receiver.py', log], ['-c', send, socket], () => logged().length >= 2000);
  const lines = logged();
  console.log(`2000 messages sent, ${lines.length} logged, ${new Set(lines).size} of them different`);
  await replaced('seqpacket', join(folder, 'echo.sock'), ['echo.py'], ['-c', ask, join(folder, 'echo.sock')]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
