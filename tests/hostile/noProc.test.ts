/** A bare chroot, where /proc is not mounted. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';
import { inMountNamespace, withMounts } from '../support/privileges.js';

const program = `
  const { createServer } = require('node:net');
  const fs = require('node:fs');
  const [directory, url] = process.argv.slice(1);
  process.umask(0o022);
  const path = directory + '/app.sock';
  const outcome = (name, options) => listen(createServer(), name, options).then(
    async (claim) => {
      const { mode, gid } = fs.lstatSync(name);
      const second = await listen(createServer(), name).catch((error) => error.reason);
      await claim.release();
      return [(mode & 0o777).toString(8), gid, second];
    },
    (error) => [error.code, error.reason],
  );
  let listen;
  import(url).then(async (module) => {
    ({ listen } = module);
    if (fs.existsSync('/proc/self')) throw new Error('/proc is there');
    const outcomes = [];
    for (const options of [{}, { mode: 0o660 }, { group: 54322 }, { handover: true }]) outcomes.push(await outcome(path, options));
    const held = await listen(createServer(), path);
    fs.linkSync(path, directory + '/stale.sock');
    await held.release();
    outcomes.push(await outcome(directory + '/stale.sock', {}));
    outcomes.push(await outcome(directory + '/' + 'd'.repeat(100) + '/app.sock', {}));
    console.log(JSON.stringify(outcomes));
  });`;

test(
  'there is no /proc → mode, group, handover and stale sockets work; a long path is refused and leaves nothing',
  withMounts,
  (t) => {
    const directory = temporaryDirectory(t);
    const deep = `${directory}/${'d'.repeat(100)}`;
    fs.mkdirSync(deep);
    const [command = '', ...args] = inMountNamespace(directory, 'mount -t tmpfs none /proc');
    const url = import.meta.resolve('#dist/index.js');
    const output = execFileSync(command, [...args, process.execPath, '-e', program, directory, url], { encoding: 'utf8' });
    assert.deepEqual(JSON.parse(output), [
      ['600', 0, 'held'],
      ['660', 0, 'held'],
      ['600', 54322, 'held'],
      ['600', 0, 'held'],
      ['600', 0, 'held'],
      ['ENAMETOOLONG', 'no-proc'],
    ]);
    assert.deepEqual(fs.readdirSync(deep), []);
  },
);
