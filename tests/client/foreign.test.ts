import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { listen } from 'reuseaddr';
import { temporaryDirectory } from '../support/directory.js';
import { needs, compiled } from '../support/commands.js';
import { onLinux } from '../support/privileges.js';
import { fixture } from '../support/program.js';

const request = 'GET /hello HTTP/1.0\r\n\r\n';

const python = `
import socket, sys
name = sys.argv[1]
client = socket.socket(socket.AF_UNIX)
client.connect('\\0' + name[1:] if name[0] == '@' else name)
client.sendall(sys.stdin.buffer.read())
client.shutdown(socket.SHUT_WR)
while chunk := client.recv(4096): sys.stdout.buffer.write(chunk)
`;

/**
 * Clients that are not ours: how each is told an address. They get a request on stdin and print the
 * answer.
 */
const clients: Readonly<Record<string, (address: string) => readonly string[]>> = {
  curl: (address) => [
    'curl',
    '--silent',
    '--show-error',
    ...(address.startsWith('@') ? ['--abstract-unix-socket', address.slice(1)] : ['--unix-socket', address]),
    'http://localhost/hello',
  ],
  socat: (address) => [
    'socat',
    '-t9',
    '-',
    address.startsWith('@') ? `ABSTRACT-CONNECT:${address.slice(1)}` : `UNIX-CONNECT:${address}`,
  ],
  nc: (address) => ['nc', '-U', address],
  python3: (address) => ['python3', '-c', python, address],
};

for (const [name, commandLine] of Object.entries(clients)) {
  test(`${name} → reaches a pathname and an abstract server`, { skip: onLinux.skip || needs(name).skip }, async (t) => {
    await reach(t, commandLine);
  });
}

test('a client in C → reaches a pathname and an abstract server', onLinux, async (t) => {
  const program = compiled(fixture('client.c'));
  await reach(t, (address) => [program, address]);
});

test('the command reuseaddr connect → reaches a pathname and an abstract server', onLinux, async (t) => {
  const program = fileURLToPath(new URL('../../../dist/cli/main.js', import.meta.url));
  await reach(t, (address) => [process.execPath, program, 'connect', address]);
});

async function reach(
  t: Parameters<typeof temporaryDirectory>[0],
  commandLine: (address: string) => readonly string[],
): Promise<void> {
  const addresses = [`${temporaryDirectory(t)}/app.sock`, `@reuseaddr-foreign-${process.pid}-${counter++}`];
  for (const address of addresses) {
    const server = http.createServer((asked, answer) => answer.end(`${asked.url} at ${address}`));
    const held = await listen(server, address);
    const [command = '', ...args] = commandLine(address);
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    let printed = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
    // curl doesn't read it, and may have ended.
    child.stdin.on('error', () => {});
    child.stdin.end(request);
    assert.deepEqual(await once(child, 'close'), [0, null], `${command} ${address}: ${printed}`);
    assert.ok(printed.endsWith(`/hello at ${address}`), `${command} ${address}: ${printed}`);
    await held.release();
  }
}

let counter = 0;
