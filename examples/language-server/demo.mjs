// node demo.mjs: two editors, and a new version of the server between them.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { connect } from 'reuseaddr';
import { createMessageConnection, SocketMessageReader, SocketMessageWriter } from 'vscode-languageserver-protocol/node';

const folder = fs.mkdtempSync(`${os.tmpdir()}/language-server-`);
const address = `${folder}/language.sock`;

const first = await start();
const oldEditor = await openEditor();
const second = await start();
const newEditor = await openEditor();
const hover = (editor) => editor.sendRequest('textDocument/hover', {});
await hover(oldEditor);
await hover(newEditor);
const names = new Set([oldEditor.server, newEditor.server]);
console.log(`${names.size} servers, each with its editor`);
await close(oldEditor);
await once(first, 'exit');
console.log('the old server has ended with its editor');
await close(newEditor);
second.kill();
fs.rmSync(folder, { recursive: true, force: true });
process.exitCode = names.size === 2 ? 0 : 1;

async function start() {
  const server = fork(fileURLToPath(new URL('server.mjs', import.meta.url)), [address]);
  await once(server, 'message');
  return server;
}

async function openEditor() {
  const socket = await connect(address);
  const editor = createMessageConnection(new SocketMessageReader(socket), new SocketMessageWriter(socket));
  editor.listen();
  const { serverInfo } = await editor.sendRequest('initialize', { processId: process.pid, rootUri: null, capabilities: {} });
  return Object.assign(editor, { server: serverInfo.name });
}

async function close(editor) {
  await editor.sendRequest('shutdown');
  await editor.sendNotification('exit');
  editor.end();
}
