import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import net from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { claim, listen } from 'reuseaddr';
import { runtimes, type Runtime } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

const library = import.meta.resolve('reuseaddr');
const preload = fileURLToPath(import.meta.resolve('reuseaddr/register'));
const root = fileURLToPath(new URL('../../../', import.meta.url));

/** The options that switch the permission model on, and allow addons and sockets. */
function permissions({ name }: Runtime, ...others: readonly string[]): string[] {
  const major = Number(name.replace('Node ', ''));
  const flag = major < 22 ? '--experimental-permission' : '--permission';
  return [flag, '--no-warnings', '--allow-addons', ...(major < 26 ? [] : ['--allow-net']), ...others];
}

function run({ path }: Runtime, options: readonly string[], script: string): string {
  const { stdout, stderr } = spawnSync(path, [...options, '--input-type=module', '-e', script], { encoding: 'utf8' });
  return `${stdout}${stderr}`.trim();
}

test('node --permission that allows all files → listen, claim and a takeover work', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const script = `import net from 'node:net';
    const { claim, listen } = await import(${JSON.stringify(library)});
    const address = ${JSON.stringify(address)};
    const first = await listen(net.createServer(), address, { mode: 0o660, handover: true });
    const second = await listen(net.createServer(), address, { takeover: true });
    await second.release();
    const third = await claim(address);
    await third.release();
    console.log('done');`;
  for (const runtime of await runtimes())
    assert.equal(run(runtime, permissions(runtime, '--allow-fs-read=*', '--allow-fs-write=*'), script), 'done', runtime.name);
});

test(
  'node --permission without /proc → a start works, a refusal says what it can, and nothing is left open',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const held = await claim(`${directory}/held.sock`);
    const stray = net.createServer().listen(`${directory}/stray.sock`);
    t.after(async () => {
      stray.close();
      await held.release();
    });
    const tries = `const results = [];
    for (const name of ['free', 'held', 'stray', 'free']) {
      const path = ${JSON.stringify(directory)} + '/' + name + '.sock';
      results.push(await new Promise((resolve) => {
        const server = net.createServer().once('error', ({ code }) => resolve(code)).once('listening', () => server.close(() => resolve('listens')));
        try { begin(server, path); } catch (error) { resolve('thrown ' + error); }
      }));
    }
    console.log(results.join(' '));`;
    const byLibrary = `import net from 'node:net';
    const { listen } = await import(${JSON.stringify(library)});
    const begin = (server, path) => listen(server, path).catch((error) => server.emit('error', error));
    ${tries}`;
    const byPreload = `import net from 'node:net';
    const begin = (server, path) => server.listen(path);
    ${tries}`;
    for (const runtime of await runtimes()) {
      const options = permissions(
        runtime,
        `--allow-fs-read=${root}*`,
        `--allow-fs-read=${directory}/*`,
        `--allow-fs-write=${directory}/*`,
      );
      const expected = 'listens EADDRINUSE EADDRINUSE listens';
      assert.equal(run(runtime, options, byLibrary), expected, runtime.name);
      assert.equal(run(runtime, [...options, '--import', preload], byPreload), expected, `${runtime.name}, preload`);
    }
    const next = await listen(net.createServer(), `${directory}/free.sock`);
    await next.release();
  },
);
