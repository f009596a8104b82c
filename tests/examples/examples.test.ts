/** Each example is run by its one command, in a folder where the packed file is installed. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { root } from '../package/installed.js';
import { needs } from '../support/commands.js';
import { asRoot, onLinux } from '../support/privileges.js';
import { copyExamples, runExample } from './run.js';

let folder = '';
before(() => {
  folder = copyExamples();
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

test('on-demand: 12 clients at once, twice → one daemon each time', onLinux, async () => {
  assert.equal(await runExample(folder, 'on-demand', 'node demo.mjs'), '12 clients, 1 daemon\n12 clients, 1 daemon\n');
});

test('desktop: three starts at once → one instance opens all three files', onLinux, async () => {
  assert.equal(await runExample(folder, 'desktop', 'node demo.mjs'), '1 instance opened a, b, c\n');
});

test(
  'datagrams: a receiver and a seqpacket server in Python, each replaced while it is in use → no message is lost',
  { skip: onLinux.skip || needs('python3').skip },
  async () => {
    assert.equal(
      await runExample(folder, 'datagrams', 'node demo.mjs'),
      '2000 messages sent, 2000 logged, 2000 of them different\n50 clients, 100 messages echoed\n',
    );
  },
);

for (const proxy of ['nginx', 'haproxy']) {
  test(
    `proxies: ${proxy} in front of one server that is replaced twice, under load → nothing is lost`,
    { skip: onLinux.skip || needs(proxy).skip },
    async () => {
      assert.match(await runExample(folder, 'proxies', `node roll.mjs ${proxy} 1`), /of v3; 0 lost\n$/);
    },
  );
}

test(
  'systemd: the units are sound, and the server runs with a socket that it is passed and without',
  { skip: onLinux.skip || needs('systemd-analyze', 'systemd-socket-activate', 'curl').skip },
  async () => {
    assert.equal(
      await runExample(folder, 'systemd', './demo.sh'),
      'the units are sound\nhello from systemd socket\nhello from my own socket\n',
    );
  },
);

test(
  'docker: two containers of namespaces share a folder, and the first is killed → the other serves',
  { skip: asRoot.skip || needs('unshare', 'curl').skip },
  async () => {
    assert.equal(await runExample(folder, 'docker', './demo.sh'), 'hello from one\nhello from two\n');
  },
);

test('every example has a README that says its command, and the index has it', () => {
  const index = fs.readFileSync(join(root, 'examples/README.md'), 'utf8');
  for (const entry of fs.readdirSync(join(root, 'examples'), { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const readme = fs.readFileSync(join(root, 'examples', entry.name, 'README.md'), 'utf8');
    assert.match(readme, /^ {4}(node \w+\.mjs|\.\/demo\.sh|npm install)/m, entry.name);
    assert.ok(index.includes(`(${entry.name}/README.md)`), entry.name);
  }
});
