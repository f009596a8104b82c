// node server.mjs ADDRESS: a language server for many editor windows, by the protocol of the Language Server Protocol.
import { createServer } from 'node:net';
import { listen } from 'reuseaddr';
import { createMessageConnection, SocketMessageReader, SocketMessageWriter } from 'vscode-languageserver-protocol/node';

let sessions = 0;
const server = createServer((socket) => {
  const session = ++sessions;
  const connection = createMessageConnection(new SocketMessageReader(socket), new SocketMessageWriter(socket));
  connection.onRequest('initialize', () => ({
    capabilities: { hoverProvider: true },
    serverInfo: { name: `server ${process.pid}` },
  }));
  connection.onRequest('textDocument/hover', () => ({ contents: `session ${session}` }));
  connection.onRequest('shutdown', () => null);
  connection.onNotification('exit', () => socket.end());
  connection.listen();
});
// A new version of the server is started in the place of the old one. Open editors go on with the one that they have.
await listen(server, process.argv[2], { takeover: true, handover: true });
if (process.send) {
  process.send('serving');
  process.disconnect();
}
