// node demo.mjs: 12 clients at once, and no daemon; twice, the second time after its daemon was killed.
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const client = fileURLToPath(new URL('client.mjs', import.meta.url));
const folder = fs.mkdtempSync(`${os.tmpdir()}/on-demand-`);
const seen = new Set();
for (let round = 0; round < 2; round++) {
  const clients = Array.from({ length: 12 }, () => promisify(execFile)(process.execPath, [client, `${folder}/daemon.sock`]));
  const answers = new Set((await Promise.all(clients)).map(({ stdout }) => stdout.trim()));
  console.log(`12 clients, ${answers.size} daemon`);
  if (answers.size !== 1) process.exitCode = 1;
  const [pid] = /\d+/.exec([...answers].join()) ?? [];
  seen.add(pid);
  process.kill(Number(pid), 'SIGKILL');
}
if (seen.size !== 2) process.exitCode = 1;
fs.rmSync(folder, { recursive: true, force: true });
