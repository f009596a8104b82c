// node demo.mjs: three starts at once, each with a file; one window process opens all three.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

const folder = fs.mkdtempSync(`${os.tmpdir()}/desktop-`);
const app = fileURLToPath(new URL('app.mjs', import.meta.url));
const instances = ['a.txt', 'b.txt', 'c.txt'].map((file) => start(file));
const opened = () => instances.flatMap(({ printed }) => [...printed.matchAll(/window: (\w)/g)].map(([, name]) => String(name)));
while (opened().length < 3) await Promise.race(instances.map(({ child }) => once(child.stdout, 'data')));
await start('--quit').ended;
await Promise.all(instances.map(({ ended }) => ended));
const windows = instances.filter(({ printed }) => printed.includes('window'));
console.log(`${windows.length} instance opened ${opened().sort().join(', ')}`);
fs.rmSync(folder, { recursive: true, force: true });
process.exitCode = windows.length === 1 ? 0 : 1;

function start(file) {
  const child = spawn(process.execPath, [app, folder, file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const instance = { child, printed: '', ended: once(child, 'close') };
  child.stdout.setEncoding('utf8').on('data', (text) => (instance.printed += text));
  return instance;
}
