// node demo.mjs: pm2 starts the server, it is killed, and pm2 starts it again on the same address.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { connect } from 'reuseaddr';

const folder = fs.mkdtempSync(`${os.tmpdir()}/pm2-`);
const address = `${folder}/app.sock`;
const env = { ...process.env, PM2_HOME: `${folder}/home`, ADDRESS: address };
const tool = createRequire(import.meta.url).resolve('pm2/bin/pm2');
const pm2 = (...args) => execFileSync(process.execPath, [tool, ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });
try {
  pm2('start', fileURLToPath(new URL('ecosystem.config.cjs', import.meta.url)));
  const first = await ask();
  process.kill(first, 'SIGKILL');
  const second = await ask();
  console.log(first === second ? 'the same process?' : 'served again after kill -9');
  process.exitCode = first === second ? 1 : 0;
} finally {
  pm2('kill');
  fs.rmSync(folder, { recursive: true, force: true });
}

/** The server's pid. Who is in the queue of a process that dies sees a reset, and asks again. */
async function ask() {
  for (;;) {
    try {
      return await askOnce();
    } catch (error) {
      if (error.code !== 'ECONNRESET') throw error;
    }
  }
}

async function askOnce() {
  const socket = await connect(address, { timeout: 20_000 });
  const answer = await new Promise((resolve, reject) => {
    http.get({ createConnection: () => socket }, resolve).on('error', reject);
  });
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += chunk;
  return Number(/\d+/.exec(text));
}
