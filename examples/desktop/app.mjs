// node app.mjs FOLDER [FILE…]: a desktop application of which one instance runs for each user. The main process of Electron would do the same.
import { createServer } from 'node:net';
import { connect, listen } from 'reuseaddr';

const [folder, ...files] = process.argv.slice(2);
const address = `${folder}/app.sock`; // In Electron: app.getPath('userData').

const server = createServer((socket) => {
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk) => (text += String(chunk)));
  socket.on('end', () => {
    open(JSON.parse(text));
    socket.end('opened\n');
  });
});

try {
  await listen(server, address);
  open(files);
} catch (error) {
  if (error.code !== 'EADDRINUSE') throw error;
  // Another instance is there, or about to be. It opens our files, and we end.
  const first = await connect(address);
  first.end(JSON.stringify(files));
  for await (const answer of first) console.log(`the first instance has ${String(answer).trim()} it`);
}

/** Would open a window, and bring it to the front. */
function open(names) {
  console.log(`window: ${names.join(' ')}`);
  if (names.includes('--quit')) server.close();
}
