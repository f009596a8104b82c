/**
 * An attacker who exchanges directories below the one that is cleaned for symlinks to another
 * user's: see fixtures/exchanger.c.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { leaveStale } from '../cli/support.js';
import { asUser, nobody, type User } from '../peers/clients.js';
import { compiled } from '../support/commands.js';
import { snapshot, temporaryDirectory } from '../support/directory.js';
import { asRoot, stranger } from '../support/privileges.js';
import { fixtureBeside } from '../support/program.js';

const swaps = 10_000;
const directories = 64;

/**
 * Files that the cleaner alone may touch, outside of the tree that it cleans: a regular file, and
 * sockets that no process is bound to, one of them in a directory below. The names are those of the
 * attacker's own dead sockets.
 */
function precious(t: TestContext, cleaner: User): string {
  const directory = temporaryDirectory(t, 0o755);
  fs.writeFileSync(`${directory}/file`, 'text', { mode: 0o600 });
  leaveStale(`${directory}/dead`);
  fs.mkdirSync(`${directory}/below`);
  leaveStale(`${directory}/below/dead`);
  for (const name of ['', '/file', '/dead', '/below', '/below/dead']) fs.chownSync(directory + name, cleaner.uid, cleaner.gid);
  return directory;
}

function memoryDirectory(t: TestContext, mode: number): string {
  const path = fs.mkdtempSync('/dev/shm/ra-');
  fs.chmodSync(path, mode);
  t.after(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

/** All that a cleaner could change there, also for a moment only. */
function everything(directory: string): object {
  const times = (path: string) => fs.lstatSync(path, { bigint: true }).ctimeNs;
  const folders = [directory, `${directory}/below`];
  return folders.map((folder) => [
    snapshot(folder),
    times(folder),
    fs.readdirSync(folder).map((name) => times(`${folder}/${name}`)),
  ]);
}

for (const [who, cleaner, mode] of [
  ['root', { uid: 0, gid: 0 }, 0o1777],
  ['a user', stranger, 0o1777],
] as const) {
  test(
    `directories are exchanged for symlinks while ${who} cleans → nothing outside is touched, and no lock file comes to be there`,
    asRoot,
    async (t) => {
      const outside = precious(t, cleaner);
      const before = everything(outside);
      // In memory, where that can be had: each exchange on a disk waits for the journal.
      const base = fs.existsSync('/dev/shm') ? memoryDirectory(t, mode) : temporaryDirectory(t, mode);

      const [setpriv = '', ...args] = asUser(nobody);
      const program = compiled(fixtureBeside(import.meta.url, 'exchanger.c'));
      const names = ['file', 'dead', 'fresh'];
      const attacker = spawn(setpriv, [...args, program, base, outside, String(directories), String(swaps), ...names], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      t.after(() => attacker.kill('SIGKILL'));
      let said = '';
      attacker.stdout.setEncoding('utf8');
      await once(attacker.stdout, 'data');
      attacker.stdout.on('data', (text: string) => {
        said += text;
      });

      const [command = '', ...rest] = [...asUser(cleaner), process.execPath, fixtureBeside(import.meta.url, 'cleans.mjs'), base];
      const cleaning = spawn(command, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      t.after(() => cleaning.kill('SIGKILL'));
      await once(cleaning, 'message');

      cleaning.send('go');
      attacker.stdin.end('x');
      assert.deepEqual(await once(attacker, 'close'), [0, null], 'the attacker came to its end');
      cleaning.send('stop');
      const [outcomes] = (await once(cleaning, 'message')) as [Readonly<Record<string, number>>];
      t.diagnostic(said.trim());
      t.diagnostic(JSON.stringify(outcomes));
      assert.deepEqual(everything(outside), before);
      assert.ok(outcomes['removed']! > 0, 'it cleaned, for all that');
    },
  );
}
