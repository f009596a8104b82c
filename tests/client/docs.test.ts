import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import tls from 'node:tls';
import { listen } from 'reuseaddr';
import { examplesOf, root } from '../readme/examples.js';
import { temporaryDirectory } from '../support/directory.js';
import { needs } from '../support/commands.js';

/** The servers that the page's examples ask. */
async function serve(t: TestContext, directory: string): Promise<void> {
  const key = ['-keyout', `${directory}/key`, '-out', `${directory}/cert`];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', ...key], { stdio: 'pipe' });
  const secret = { key: fs.readFileSync(`${directory}/key`), cert: fs.readFileSync(`${directory}/cert`) };
  const servers: Readonly<Record<string, net.Server>> = {
    app: net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)),
    http: http.createServer((request, response) => response.end(request.url)),
    http2: http2.createServer((request, response) => response.end(request.url)),
    tls: tls.createServer(secret, (socket) => socket.end('hello from TLS')),
  };
  for (const [name, server] of Object.entries(servers)) {
    const held = await listen(server, `${directory}/${name}.sock`);
    t.after(() => held.release());
  }
}

test('every example in docs/client.md → prints what the page says', needs('openssl'), async (t) => {
  const directory = temporaryDirectory(t);
  await serve(t, directory);
  const examples = examplesOf(fs.readFileSync(`${root}docs/client.md`, 'utf8'));
  assert.ok(examples.length >= 5);
  for (const { line, text } of examples) {
    // From here `reuseaddr` is this package, and `undici` a development dependency.
    const child = spawn(process.execPath, ['--input-type=module', '-e', text.replaceAll('/run/', `${directory}/`)], {
      cwd: root,
    });
    t.after(() => child.kill('SIGKILL'));
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part: string) => {
        printed += part;
      });
    }
    const [status] = (await once(child, 'close')) as [number];
    const expected = [...text.matchAll(/\/\/ → (.*?)(?= \/\/ → |$)/gm)].map((match) => `${match[1]}\n`).join('');
    assert.deepEqual({ line, status, printed }, { line, status: 0, printed: expected });
  }
});
