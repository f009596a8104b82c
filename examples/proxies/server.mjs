// node server.mjs ADDRESS VERSION: takes ADDRESS over from whoever serves it, or claims it.
import { createServer } from 'node:http';
import { listen } from 'reuseaddr';

const [address, version] = process.argv.slice(2);
const server = createServer((request, response) => setTimeout(() => response.end(`${version}\n`), 2));
await listen(server, address, { mode: 0o666, takeover: true, handover: true });
if (process.send) {
  process.send('serving');
  process.disconnect();
}
