// node demo.mjs: pm2 keeps the server running. It is replaced under load, and then killed.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { connect } from 'reuseaddr';

const replacements = 5;
const clients = 4;

const folder = fs.mkdtempSync(`${os.tmpdir()}/pm2-`);
const address = `${folder}/app.sock`;
const env = { ...process.env, PM2_HOME: `${folder}/home`, ADDRESS: address };
const tool = createRequire(import.meta.url).resolve('pm2/bin/pm2');
const pm2 = (...args) => execFileSync(process.execPath, [tool, ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });
try {
  pm2('start', fileURLToPath(new URL('ecosystem.config.cjs', import.meta.url)));
  let pid = await ask();

  const load = { running: true, answered: 0, failed: 0 };
  const loops = Array.from({ length: clients }, () => keepAsking(load));
  for (let count = 0; count < replacements; count++) {
    pm2('sendSignal', 'SIGHUP', 'app');
    pid = await askAnotherThan(pid);
  }
  load.running = false;
  await Promise.all(loops);
  console.log(`replaced ${replacements} times: ${load.answered} requests answered, ${load.failed} failed`);

  process.kill(pid, 'SIGKILL');
  await askAnotherThan(pid);
  console.log('served again after kill -9');
  process.exitCode = load.failed === 0 ? 0 : 1;
} finally {
  pm2('kill');
  fs.rmSync(folder, { recursive: true, force: true });
}

async function keepAsking(load) {
  while (load.running) {
    try {
      await ask();
      load.answered += 1;
    } catch {
      load.failed += 1;
    }
  }
}

/** Asks until another process answers. A request that the killed process had accepted is reset, and asked again. */
async function askAnotherThan(pid) {
  for (;;) {
    const answeredBy = await ask().catch(() => pid);
    if (answeredBy !== pid) return answeredBy;
  }
}

/** The pid of the server that answers. */
async function ask() {
  const socket = await connect(address, { timeout: 20_000 });
  const answer = await new Promise((resolve, reject) => {
    http.get({ createConnection: () => socket, headers: { connection: 'close' } }, resolve).on('error', reject);
  });
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += chunk;
  return Number(/\d+/.exec(text));
}
