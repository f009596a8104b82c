import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

async function run(program: string, path: string): Promise<string> {
  const args = ['--input-type=module', '--eval', program, path];
  const cwd = fileURLToPath(new URL('../../..', import.meta.url));
  return (await promisify(execFile)(process.execPath, args, { cwd })).stdout;
}

test(
  'listen() in two workers of a cluster → the second is refused, and told how workers share an address',
  onLinux,
  async (t) => {
    const program = `
    import cluster from 'node:cluster';
    import net from 'node:net';
    import { listen } from 'reuseaddr';
    const path = process.argv[1];
    if (cluster.isPrimary) {
      cluster.setupPrimary({ execArgv: process.execArgv, args: [path] });
      const first = cluster.fork();
      first.once('message', () => cluster.fork().once('message', (message) => {
        console.log(message);
        process.exit();
      }));
    } else {
      process.send(await listen(net.createServer(), path).then(() => 'listens', ({ code, message }) => code + ' ' + message));
    }`;
    const said = await run(program, `${temporaryDirectory(t)}/app.sock`);
    assert.match(
      said,
      /^EADDRINUSE Cannot listen on .*: another worker of this cluster, process \d+ \(node .*\), has held it since /,
    );
    assert.match(
      said,
      /\. Make the claim in the primary with claim\(\), and pass its fd to server\.listen\(\{ fd \}\) in every worker, or load reuseaddr\/register, under which server\.listen\(path\) shares it\.\n$/,
    );
  },
);

test('claim() in the primary and server.listen({ fd }) in two workers → both serve the address', async (t) => {
  const program = `
    import cluster from 'node:cluster';
    import net from 'node:net';
    import { claim } from 'reuseaddr';
    const path = process.argv[1];
    if (cluster.isPrimary) {
      const claimed = await claim(path);
      cluster.setupPrimary({ execArgv: process.execArgv, args: [path] });
      for (let i = 0; i < 2; i++) cluster.fork({ CLAIMED: claimed.fd });
      let listening = 0;
      const all = new Promise((resolve) => cluster.on('listening', () => ++listening === 2 && resolve()));
      await all;
      const answers = new Set();
      while (answers.size < 2) {
        let text = '';
        for await (const data of net.connect(path)) text += data;
        answers.add(text);
      }
      console.log(answers.size);
      process.exit();
    } else {
      net.createServer((connection) => connection.end(String(process.pid))).listen({ fd: Number(process.env.CLAIMED) });
    }`;
  assert.equal(await run(program, `${temporaryDirectory(t)}/app.sock`), '2\n');
});

test('listen() with handover in a worker of a cluster → the worker itself hands over', onLinux, async (t) => {
  const program = `
    import cluster from 'node:cluster';
    import net from 'node:net';
    import { listen } from 'reuseaddr';
    const path = process.argv[1];
    if (cluster.isPrimary) {
      cluster.setupPrimary({ execArgv: process.execArgv, args: [path] });
      const worker = cluster.fork();
      await new Promise((resolve) => worker.once('message', resolve));
      const told = new Promise((resolve) => worker.once('message', resolve));
      await listen(net.createServer(), path, { takeover: true });
      console.log(await told);
      process.exit();
    } else {
      const held = await listen(net.createServer(), path, { handover: true });
      held.on('handover', () => process.send('handed over'));
      process.send('listens');
    }`;
  assert.equal(await run(program, `${temporaryDirectory(t)}/app.sock`), 'handed over\n');
});
