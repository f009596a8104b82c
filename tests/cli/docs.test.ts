import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { delimiter, dirname } from 'node:path';
import { test, type TestContext } from 'node:test';
import { commands } from '#dist/cli/commands.js';
import { examplesOf, root } from '../readme/examples.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux, ownUser } from '../support/privileges.js';
import { leaveStale, reuseaddr, runProgram } from './support.js';

const page = fs.readFileSync(`${root}docs/command-line.md`, 'utf8');

/**
 * The contents of /run in the page's examples: a holder, a stray that does not accept and has a
 * full backlog, and a stale socket.
 */
async function furnish(t: TestContext, directory: string): Promise<void> {
  for (const folder of ['run', 'srv', 'bin']) fs.mkdirSync(`${directory}/${folder}`);
  fs.symlinkSync(reuseaddr, `${directory}/bin/reuseaddr`);
  fs.writeFileSync(
    `${directory}/srv/server.js`,
    `import('${import.meta.resolve('reuseaddr')}').then(async ({ listen }) => {
       const server = require('net').createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).once('data', () => socket.write('PONG\\n')).once('end', () => socket.end()));
       await listen(server, '${directory}/run/app.sock', { mode: 0o660 });
       console.log('ready');
     });`,
  );
  fs.writeFileSync(
    `${directory}/srv/slow.js`,
    `const net = require('net');
     net.createServer().listen({ path: '${directory}/run/full.sock', backlog: 2 }, () => {
       let connected = 0;
       for (let i = 0; i < 3; i++) net.connect('${directory}/run/full.sock', () => ++connected === 3 && (console.log('ready'), Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)));
     });`,
  );
  for (const name of ['server', 'slow']) {
    const server = spawn(process.execPath, [`${directory}/srv/${name}.js`], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => server.kill('SIGKILL'));
    await once(server.stdout, 'data');
  }
}

/**
 * Without what differs from run to run: numbers, the width of columns, the user and the directory.
 */
function essence(text: string, directory: string): readonly string[] {
  const same = text
    .replaceAll(`${directory}/`, '/')
    // A user without a name is called by the uid, and has no name in JSON.
    .replaceAll(new RegExp(`(?<!uid |gid |:)\\b${ownUser()}\\b`, 'g'), 'root')
    .replaceAll('"user":"root",', '')
    .replaceAll(/\d+/g, 'N')
    .replaceAll(/ +/g, ' ');
  return same
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd());
}

test('every example in docs/command-line.md → prints what the page says', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  await furnish(t, directory);
  const examples = examplesOf(page).filter(({ language }) => language === 'console');
  let count = 0;
  for (const { line, text } of examples) {
    if (!fs.existsSync(`${directory}/run/old.sock`)) leaveStale(`${directory}/run/old.sock`);
    for (const [, command = '', expected = ''] of text.matchAll(/^\$ (.*)\n((?:(?!\$ ).*\n?)*)/gm)) {
      const { stdout } = await runProgram(['bash', '-c', `exec 2>&1; ${command.replaceAll(/ \/run\b/g, ` ${directory}/run`)}`], {
        env: {
          ...process.env,
          PATH: `${directory}/bin${delimiter}${dirname(process.execPath)}${delimiter}${process.env['PATH']}`,
        },
      });
      assert.deepEqual(
        { line, command, printed: essence(stdout, directory) },
        { line, command, printed: essence(expected, directory) },
      );
      count++;
    }
  }
  assert.equal(count, page.match(/^\$ /gm)?.length);
  t.diagnostic(`${count} examples`);
});

test('docs/command-line.md → has every command and every option', async () => {
  for (const [name, { load }] of Object.entries(commands)) {
    const { command } = await load();
    assert.ok(page.includes(`reuseaddr ${name}`), name);
    // docs/run.md owns the options of `run`, and has a test of its own.
    if (name === 'run') continue;
    for (const option of Object.keys(command.options)) assert.ok(page.includes(`--${option}`), `${name} --${option}`);
  }
});

test('docs/address.md → explains each state in the words of inspect --help', async () => {
  const { command } = await import('#dist/cli/inspectCommand.js');
  const explained = fs.readFileSync(`${root}docs/address.md`, 'utf8').matchAll(/^\| `(\w+)` \| ([^|]+) \|$/gm);
  assert.deepEqual(
    [...explained].map(([, state = '', meaning = '']) => `${state} ${meaning}`),
    [...command.description.matchAll(/^ {2}(\w+) +(.+)$/gm)].map(([, state = '', meaning = '']) => `${state} ${meaning}`),
  );
});
