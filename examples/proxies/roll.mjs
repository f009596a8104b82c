// node roll.mjs nginx|haproxy [SERVERS]: replaces every server twice, under load, and counts what was lost.
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const [proxyName = 'nginx', wanted = '3'] = process.argv.slice(2);
const folder = fs.mkdtempSync(`${os.tmpdir()}/roll-`);
fs.chmodSync(folder, 0o755); // The proxy's workers are another user's.
const addresses = Array.from({ length: Number(wanted) }, (_, index) => `${folder}/app-${index + 1}.sock`);
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });

const servers = new Map();
for (const address of addresses) servers.set(address, await start(address, 'v1'));
const port = await freePort();
const proxy = startProxy();
const seen = new Map();
const lost = [];
try {
  while ((await ask()) === undefined) lost.length = 0; // Until the proxy listens.
  const roll = new AbortController();
  const load = Array.from({ length: 8 }, async () => {
    while (!roll.signal.aborted) await ask();
  });
  for (const version of ['v2', 'v3']) {
    for (const address of addresses) {
      const old = servers.get(address);
      servers.set(address, await start(address, version));
      if (old.exitCode === null) await once(old, 'exit'); // Its last connection has ended.
    }
  }
  roll.abort();
  await Promise.all(load);
} finally {
  agent.destroy();
  proxy.kill('SIGTERM');
  for (const server of servers.values()) server.kill('SIGTERM');
  await once(proxy, 'exit');
  fs.rmSync(folder, { recursive: true, force: true });
}
const answers = [...seen].map(([version, times]) => `${times} of ${version}`).join(', ');
console.log(`${proxyName}, ${addresses.length} servers: ${answers}; ${lost.length} lost`);
for (const problem of new Set(lost)) console.log(problem);
process.exitCode = lost.length === 0 && seen.has('v3') ? 0 : 1;

async function start(address, version) {
  const server = fork(here('server.mjs'), [address, version]);
  await once(server, 'message');
  return server;
}

function startProxy() {
  const name = proxyName === 'nginx' ? 'nginx.conf' : 'haproxy.cfg';
  const lines = fs.readFileSync(here(name), 'utf8').split('\n');
  // Without the servers that are not there.
  const config = lines.filter(
    (line) => !/app-\d/.test(line) || addresses.some((path) => line.includes(path.slice(path.lastIndexOf('/')))),
  );
  const file = `${folder}/${name}`;
  fs.writeFileSync(file, config.join('\n').replaceAll('FOLDER', folder).replaceAll('PORT', String(port)));
  const args = proxyName === 'nginx' ? ['-p', folder, '-c', file, '-e', `${folder}/nginx.log`] : ['-db', '-f', file];
  // Debian has them where not every user's PATH leads.
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  return spawn(proxyName, args, { stdio: ['ignore', 'ignore', 'inherit'], env });
}

async function ask() {
  try {
    const request = http.get({ port, host: '127.0.0.1', agent });
    const [response] = await once(request, 'response');
    let body = '';
    for await (const chunk of response.setEncoding('utf8')) body += chunk;
    if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
    const version = body.trim();
    seen.set(version, (seen.get(version) ?? 0) + 1);
    return version;
  } catch (error) {
    lost.push(error.message);
    return undefined;
  }
}

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port: free } = probe.address();
  probe.close();
  return free;
}
