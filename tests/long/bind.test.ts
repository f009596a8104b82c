import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { installPackages } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

test('Bun and Deno → bind is refused before anything is made, and claim works', onLinux, async (t) => {
  if (process.arch !== 'x64') return t.skip('the packages are for x64');
  const modules = join(await installPackages('package/runtimes', ['--force']), 'node_modules');
  const commands = {
    Bun: [join(modules, '@oven/bun-linux-x64/bin/bun')],
    Deno: [join(modules, '@deno/linux-x64-glibc/deno'), 'run', '--no-code-cache', '--allow-all'],
  };
  const program = `import { createSocket } from 'node:dgram';
    import fs from 'node:fs';
    import { bind, claim } from ${JSON.stringify(import.meta.resolve('reuseaddr'))};
    const path = process.argv[2] + '/app.sock';
    const error = await bind(createSocket('udp4'), path).catch((thrown) => thrown);
    const before = fs.readdirSync(process.argv[2]);
    const claimed = await claim(path, { type: 'datagram' });
    console.log(JSON.stringify([error.code, error.reason, before, claimed.fd > 2]));
    process.exit();`;
  for (const [name, [command = '', ...args]] of Object.entries(commands)) {
    const directory = temporaryDirectory(t);
    const file = `${temporaryDirectory(t)}/program.mjs`;
    fs.writeFileSync(file, program);
    const { stdout, stderr } = spawnSync(command, [...args, file, directory], { encoding: 'utf8' });
    assert.notEqual(stdout, '', `${name}: ${stderr}`);
    assert.deepEqual(JSON.parse(stdout), ['ENOTSUP', 'unsupported', [], true], name);
  }
});
