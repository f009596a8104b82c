/** The examples that take long, or that need packages which have to be downloaded. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { copyExamples, runExample } from '../examples/run.js';
import { installPackages } from '../runtimes/install.js';
import { needs } from '../support/commands.js';
import { asRoot, onLinux } from '../support/privileges.js';

let folder = '';
before(async () => {
  folder = copyExamples();
  const home = await installPackages('examples');
  const from = join(home, 'node_modules');
  for (const name of fs.readdirSync(from)) {
    const to = join(folder, 'node_modules', name);
    if (!name.startsWith('.') && !fs.existsSync(to)) fs.symlinkSync(join(from, name), to);
  }
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

for (const proxy of ['nginx', 'haproxy']) {
  test(
    `proxies: ${proxy} in front of three servers, each replaced twice under load → nothing is lost`,
    needs(proxy),
    async () => {
      assert.match(await runExample(folder, 'proxies', `node roll.mjs ${proxy}`), /of v3; 0 lost\n$/);
    },
  );
}

const withHosts = {
  skip: asRoot.skip || needs('haproxy', 'unshare').skip,
} as const;

test(
  'hosts: HAProxy spreads TCP over two hosts, and one is killed under load and comes back → nothing is lost',
  withHosts,
  async () => {
    const printed = 'both hosts served, one was killed and came back; 0 requests lost\n';
    assert.equal(await runExample(folder, 'hosts', 'node demo.mjs'), printed);
  },
);

test(
  'language-server: a new version between two editors → each has its own server, and the old one ends with its editor',
  onLinux,
  async () => {
    assert.equal(
      await runExample(folder, 'language-server', 'node demo.mjs'),
      '2 servers, each with its editor\nthe old server has ended with its editor\n',
    );
  },
);

test('pm2: the server is replaced under load, and killed → no request fails, and it serves again', onLinux, async () => {
  const printed = await runExample(folder, 'pm2', 'node demo.mjs');
  assert.match(printed, /^replaced 5 times: [1-9]\d* requests answered, 0 failed\nserved again after kill -9\n$/);
});
