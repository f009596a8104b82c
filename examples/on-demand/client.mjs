// node client.mjs ADDRESS: asks the daemon, and starts it if there is none.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { connect } from 'reuseaddr';

const [address] = process.argv.slice(2);
const nobody = new Set(['ENOENT', 'ECONNREFUSED']);
const socket = await connect(address, { timeout: 0 }).catch(async (error) => {
  if (!nobody.has(error.code)) throw error;
  const daemon = fileURLToPath(new URL('daemon.mjs', import.meta.url));
  spawn(process.execPath, [daemon, address], { detached: true, stdio: 'ignore' }).unref();
  return await connect(address, { timeout: 20_000 });
});
socket.pipe(process.stdout);
