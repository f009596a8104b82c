// node daemon.mjs ADDRESS: serves until nobody has asked for a while.
import { createServer } from 'node:net';
import { listen } from 'reuseaddr';

const idleMs = 2000;
const server = createServer((socket) => {
  idle.refresh();
  socket.end(`daemon ${process.pid}\n`);
});
const idle = setTimeout(() => server.close(), idleMs);
try {
  await listen(server, process.argv[2]);
} catch (error) {
  clearTimeout(idle);
  // Another client has started one in the same moment. That is as good.
  if (error.code !== 'EADDRINUSE') throw error;
}
