import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { claim } from 'reuseaddr';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { fixtureBeside } from '../support/program.js';

interface Report {
  readonly thrown?: string;
  readonly ended: string;
}

/** More than a start with an inherited socket makes. */
const callsMax = 64;

test('each call of the addon throws once in a start with an inherited socket → the next start has it', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(address);
  t.after(() => held.release());
  const seen: string[] = [];
  for (let call = 0; ; call++) {
    assert.ok(call < callsMax, `there is no end: ${seen.join(' ')}`);
    const { thrown, ended } = startIn(address, held.fd, call);
    if (thrown === undefined) break;
    seen.push(thrown);
    // From `give` on, the server owns the descriptor, and has closed it.
    assert.equal(ended, thrown === 'give' ? 'closed' : 'inherited', `call ${call}, ${thrown}`);
  }
  t.diagnostic(`${seen.length} calls`);
  for (const name of ['getsockname', 'fcntl', 'give'])
    assert.ok(seen.includes(name), `${name} did not throw; these did: ${seen.join(' ')}`);
});

/** Starts in a process of its own, because a process adopts each descriptor once. */
function startIn(address: string, fd: number, call: number): Report {
  const script = 'LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; exec "$@"';
  const program = [process.execPath, fixtureBeside(import.meta.url, 'throwingOnce.mjs'), address, String(call)];
  const { stdout } = spawnSync('sh', ['-c', script, 'sh', ...program], {
    stdio: ['ignore', 'pipe', 'inherit', fd],
    encoding: 'utf8',
    // Node parses that file at each start.
    env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined },
  });
  return JSON.parse(stdout) as Report;
}
