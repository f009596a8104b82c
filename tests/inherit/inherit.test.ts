import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { claim, type Claim } from 'reuseaddr';
import { fcntl } from '#dist/kernel/descriptors.js';
import { kernel } from '#dist/kernel/posix.js';
import { abstractName } from '../support/abstract.js';
import { inodeAt, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { fixtureBeside } from '../support/program.js';

interface Report {
  readonly fd?: number;
  readonly lockPath?: string;
  readonly answered?: boolean;
  readonly closeOnExec?: boolean;
  readonly nonBlocking?: boolean;
  readonly second?: string;
  readonly handover?: boolean;
  readonly error?: string;
  readonly warnings?: readonly string[];
  readonly variables: readonly string[];
  readonly childs: string;
}

interface Passed {
  readonly fds?: readonly number[];
  /** Shell text of each variable: `$$` is the pid that the program will have. */
  readonly variables?: Readonly<Record<string, string>>;
  readonly options?: object;
  readonly how?: 'listen' | 'claim';
  readonly reach?: string;
}

/**
 * Runs the program as a supervisor does that follows sd_listen_fds(3): the shell makes way for it,
 * and the pid stays.
 */
async function child(
  address: string,
  { fds = [], variables = {}, options = {}, how = 'listen', reach }: Passed,
): Promise<Report> {
  const set = Object.entries(variables).map(([name, value]) => `${name}=${value}; export ${name};`);
  const args = ['-c', `${set.join(' ')} exec "$@"`, 'sh', process.execPath, fixtureBeside(import.meta.url, 'child.mjs')];
  const env = { ...process.env, ...(reach === undefined ? {} : { REACH: reach }) };
  const stdio = ['ignore', 'pipe', 'inherit', ...fds] as const;
  const started = spawn('sh', [...args, address, JSON.stringify(options), how], { stdio: [...stdio], env });
  let text = '';
  for await (const data of started.stdout!) text += String(data);
  return JSON.parse(text) as Report;
}

const ours = { LISTEN_PID: '$$', LISTEN_FDS: '1', LISTEN_FDNAMES: 'app' } as const;

async function holding(t: TestContext, address: string): Promise<Claim> {
  const held = await claim(address);
  t.after(() => held.release());
  return held;
}

function assertUsed(report: Report, fd = 3): void {
  const { fd: used, lockPath, answered, closeOnExec, nonBlocking, second, variables, childs } = report;
  assert.deepEqual(
    { used, lockPath, answered, closeOnExec, nonBlocking, second, variables, childs },
    {
      used: fd,
      lockPath: undefined,
      answered: true,
      closeOnExec: true,
      nonBlocking: true,
      second: 'EADDRINUSE held',
      variables: [],
      childs: '0',
    },
    JSON.stringify(report),
  );
}

test(
  'a socket that is bound to the path is inherited → it is used, no lock is taken, the variables are gone, a release leaves the file',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const { fd } = await holding(t, address);
    const inode = inodeAt(address);
    assertUsed(await child(address, { fds: [fd], variables: ours }));
    assertUsed(await child(address, { fds: [fd], variables: { LISTEN_PID: '$$', LISTEN_FDS: '1' } }));
    assert.equal(inodeAt(address), inode);
  },
);

test('the same by claim() → claim.fd is the inherited socket', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const { fd } = await holding(t, address);
  assert.equal(fcntl(fd, 'F_SETFL', ''), 0); // A supervisor passes a blocking socket.
  const report = await child(address, { fds: [fd], variables: ours, how: 'claim' });
  assert.deepEqual([report.fd, report.lockPath, report.nonBlocking, report.error], [3, undefined, true, undefined]);
});

test('a long path, a directory that is a symlink, an abstract name → the inherited socket is found', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const deep = `${directory}/${'d'.repeat(120)}`;
  fs.mkdirSync(deep);
  fs.symlinkSync(deep, `${directory}/link`);
  const held = await holding(t, `${deep}/app.sock`);
  assertUsed(await child(`${deep}/app.sock`, { fds: [held.fd], variables: ours, reach: `${directory}/link/app.sock` }));
  assertUsed(await child(`${directory}/link/app.sock`, { fds: [held.fd], variables: ours }));
  const { address, nodePath } = abstractName();
  const abstract = await holding(t, address);
  const report = await child(address, { fds: [abstract.fd], variables: ours, how: 'claim' });
  assert.equal(report.fd, 3);
  assert.ok(nodePath.startsWith('\0'));
});

test(
  'several are inherited, files and other sockets among them → the one that is bound to the address is used',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const [other, held] = [await holding(t, `${directory}/other.sock`), await holding(t, `${directory}/app.sock`)];
    const file = fs.openSync(`${directory}/file`, 'w');
    const unbound = kernel.socket() as number;
    t.after(() => {
      fs.closeSync(file);
      kernel.close(unbound);
    });
    const fds = [file, unbound, other.fd, held.fd];
    assertUsed(
      await child(`${directory}/app.sock`, { fds, variables: { ...ours, LISTEN_FDS: '4', LISTEN_FDNAMES: 'a:b:c:d' } }),
      6,
    );
  },
);

test('handover under an inherited socket → silently not served: the process that passed it has the claim', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const { fd } = await holding(t, address);
  const report = await child(address, { fds: [fd], variables: ours, options: { handover: true } });
  assertUsed(report);
  assert.equal(report.handover, false);
});

test(
  'LISTEN_PID is another process, or missing; LISTEN_FDS is garbage or huge → nothing is inherited, the variables stay, and the address is refused as held',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const { fd } = await holding(t, address);
    const wrong: readonly Record<string, string>[] = [
      { LISTEN_PID: '1', LISTEN_FDS: '1' },
      { LISTEN_FDS: '1' },
      { LISTEN_PID: "''", LISTEN_FDS: '1' },
      { LISTEN_PID: '0$$', LISTEN_FDS: '1' },
      { LISTEN_PID: '$$' },
      { LISTEN_PID: '$$', LISTEN_FDS: '-1' },
      { LISTEN_PID: '$$', LISTEN_FDS: '1x' },
      { LISTEN_PID: '$$', LISTEN_FDS: '1e3' },
      { LISTEN_PID: '$$', LISTEN_FDS: '1025' },
      { LISTEN_PID: '$$', LISTEN_FDS: '99999999999999999999' },
      { LISTEN_PID: '$$', LISTEN_FDS: "''" },
    ];
    for (const variables of wrong) {
      const report = await child(address, { fds: [fd], variables });
      assert.deepEqual(
        [report.error, report.variables.length],
        ['held', Object.keys(variables).length],
        JSON.stringify(variables),
      );
    }
    t.diagnostic(`${wrong.length} environments`);
  },
);

test(
  'what is inherited is no listening Unix socket, or there are fewer than LISTEN_FDS says → an ordinary claim',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const file = fs.openSync(`${directory}/file`, 'w');
    const bound = kernel.socket() as number;
    assert.equal(kernel.bind(bound, `${directory}/bound.sock`), 0);
    t.after(() => {
      fs.closeSync(file);
      kernel.close(bound);
    });
    for (const [address, fds, count] of [
      [`${directory}/app.sock`, [file], '1'],
      [`${directory}/app.sock`, [file, bound], '1024'],
      [`${directory}/app.sock`, [], '3'],
    ] as const) {
      const report = await child(address, { fds, variables: { LISTEN_PID: '$$', LISTEN_FDS: count } });
      assert.deepEqual(
        [report.lockPath, report.answered, report.variables.length, report.error],
        [`${address}.lock`, true, 0, undefined],
      );
    }
    // Bound to the address, and not listening: not what sd_listen_fds(3) passes.
    assert.equal((await child(`${directory}/bound.sock`, { fds: [bound], variables: ours })).error, 'stray');
  },
);

test('an inherited socket is bound to another address → an ordinary claim for this one', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  const { fd } = await holding(t, `${directory}/other.sock`);
  const report = await child(`${directory}/app.sock`, { fds: [fd], variables: ours });
  assert.deepEqual([report.lockPath, report.answered], [`${directory}/app.sock.lock`, true]);
});

test(
  'the file was removed and another has its place → the inherited socket is not taken for it by its name',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const { fd } = await holding(t, address);
    fs.rmSync(address);
    const report = await child(address, { fds: [fd], variables: ours });
    assert.equal(report.error, 'displaced');
  },
);

test(
  'a mode is asked for that the inherited socket does not have → a warning that names the process that can set it; the same mode → none',
  onLinux,
  async (t) => {
    const address = `${temporaryDirectory(t)}/app.sock`;
    const { fd } = await holding(t, address);
    const warnings = async (mode: number, variables: object = ours) =>
      (await child(address, { fds: [fd], variables: { ...variables }, options: { mode } })).warnings;
    const [warning = ''] = (await warnings(0o660)) ?? [];
    assert.match(warning, /^REUSEADDR_INHERITED_MODE The socket .*app\.sock was .* has mode 0600.* SocketMode=0660 in a systemd/);
    assert.match(
      (await warnings(0o660, { ...ours, LISTEN_FDNAMES: 'reuseaddr', NOTIFY_SOCKET: '@nobody' }))?.[0] ?? '',
      /: reuseaddr run --mode=0660\.$/,
    );
    assert.deepEqual(await warnings(0o600), []);
  },
);
