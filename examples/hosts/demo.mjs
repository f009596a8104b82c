// node demo.mjs: HAProxy spreads TCP over the Unix sockets of two hosts, and one host is stopped under load. Needs root.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

// In a network namespace of its own, so that nothing of this machine's network is touched.
if (process.env.HOSTS_INSIDE === undefined) {
  const inside = { ...process.env, HOSTS_INSIDE: '1' };
  const { status } = spawnSync('unshare', ['--net', process.execPath, fileURLToPath(import.meta.url)], {
    env: inside,
    stdio: 'inherit',
  });
  process.exit(status ?? 1);
}

const server = fileURLToPath(new URL('../proxies/server.mjs', import.meta.url));
const folder = fs.mkdtempSync(`${os.tmpdir()}/hosts-`);
fs.chmodSync(folder, 0o755);
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
const run = (...command) => execFileSync(command[0], command.slice(1), { env, stdio: ['ignore', 'inherit', 'inherit'] });
const running = [];

/** Two network namespaces, each with a way to this one, which is the clients' host. The addresses are RFC 5737's, for examples. */
const hosts = ['one', 'two'].map((name, index) => ({
  name,
  namespace: `reuseaddr-${process.pid}-${name}`,
  link: `veth${index}`,
  here: `198.51.100.${4 * index + 1}`,
  there: `198.51.100.${4 * index + 2}`,
  address: `${folder}/${name}.sock`,
  processes: [],
}));

try {
  run('ip', 'link', 'set', 'lo', 'up');
  for (const host of hosts) {
    makeHost(host);
    startServer(host);
    host.processes.push(
      startProxy(host.name, ['ip', 'netns', 'exec', host.namespace], `${host.there}:8080`, [`server app unix@${host.address}`]),
    );
  }
  // A host that doesn't answer is asked no more, and the request goes to the other one.
  const servers = hosts.map(({ name, there }) => `server ${name} ${there}:8080 check inter 200ms fall 3 rise 1`);
  startProxy('front', [], '127.0.0.1:18080', ['retry-on all-retryable-errors', 'retries 3', 'option redispatch 1', ...servers]);
  await spread();
} finally {
  for (const child of running) child.kill('SIGKILL');
  for (const host of hosts) run('ip', 'netns', 'delete', host.namespace);
  fs.rmSync(folder, { recursive: true, force: true });
}
process.exit();

async function spread() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const seen = { one: 0, two: 0 };
  const lost = [];
  const ask = async () => {
    try {
      const [response] = await once(http.get({ host: '127.0.0.1', port: 18_080, agent }), 'response');
      let body = '';
      for await (const chunk of response.setEncoding('utf8')) body += chunk;
      if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
      seen[body.trim()] += 1;
    } catch (error) {
      lost.push(error.message);
    }
  };
  while (seen.one === 0 || seen.two === 0) await ask(); // Until both are found.
  const before = { ...seen };
  lost.length = 0;
  const load = new AbortController();
  const clients = Array.from({ length: 8 }, async () => {
    while (!load.signal.aborted) await ask();
  });
  while (seen.one < before.one + 200) await ask();
  for (const child of hosts[0].processes) child.kill('SIGKILL'); // The whole host.
  const atStop = seen.two;
  while (seen.two < atStop + 500) await ask();
  startServer(hosts[0]); // It is back, on the same path: its dead socket file is in nobody's way.
  hosts[0].processes.push(
    startProxy('one', ['ip', 'netns', 'exec', hosts[0].namespace], `${hosts[0].there}:8080`, [
      `server app unix@${hosts[0].address}`,
    ]),
  );
  const atReturn = seen.one;
  while (seen.one < atReturn + 50) await ask();
  load.abort();
  await Promise.all(clients);
  agent.destroy();
  console.log(`both hosts served, one was killed and came back; ${lost.length} requests lost`);
  for (const problem of new Set(lost)) console.log(problem);
  process.exitCode = lost.length === 0 ? 0 : 1;
}

function makeHost({ namespace, link, here, there }) {
  run('ip', 'netns', 'add', namespace);
  run('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
  run('ip', 'address', 'add', `${here}/30`, 'dev', link);
  run('ip', 'link', 'set', link, 'up');
  run('ip', '-n', namespace, 'address', 'add', `${there}/30`, 'dev', 'eth0');
  run('ip', '-n', namespace, 'link', 'set', 'eth0', 'up');
}

function startServer(host) {
  host.processes.push(start(['ip', 'netns', 'exec', host.namespace, process.execPath, server, host.address, host.name]));
}

function startProxy(name, before, address, lines) {
  const file = `${folder}/${name}.cfg`;
  const times = ['timeout connect 5s', 'timeout client 30s', 'timeout server 5s', 'timeout check 5s'];
  fs.writeFileSync(file, ['defaults', 'mode http', ...times, 'listen web', `bind ${address}`, ...lines, ''].join('\n'));
  return start([...before, 'haproxy', '-q', '-db', '-f', file]);
}

function start([command, ...args]) {
  const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  running.push(child);
  return child;
}
