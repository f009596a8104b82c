// node server.mjs ADDRESS: uses the socket that systemd has passed for the address, and claims the address where none was.
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { listen } from 'reuseaddr';

const [address] = process.argv.slice(2);
const server = createServer((request, response) =>
  response.end(`hello from ${held.lockPath === undefined ? 'systemd' : 'my own'} socket\n`),
);
const held = await listen(server, address, { mode: 0o660 });
// Type=notify: units that come after this one are started now. sd_notify(3)
if (process.env.NOTIFY_SOCKET) execFile('systemd-notify', ['--ready', '--status=serving']);
process.on('SIGTERM', () => server.close());
