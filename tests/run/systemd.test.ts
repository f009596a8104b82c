/**
 * The unit in `examples/systemd` under systemd itself, as process 1 of namespaces. A stop sends
 * each instance SIGTERM once, whatever the KillMode.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { root } from '../readme/examples.js';
import { needs } from '../support/commands.js';
import { temporaryDirectory } from '../support/directory.js';
import { withControlGroups } from '../support/privileges.js';
import { until } from '../support/waits.js';
import { program } from './running.js';

/** The unit of the example, with two instances of a program that tells its signals. */
function unit(killMode: string): string {
  const example = fs.readFileSync(join(root, 'examples/systemd/run.service'), 'utf8');
  // One of them is in a process group of its own.
  const instance = `sh -c 'test $$NODE_APP_INSTANCE = 0 || exec "$$@"; exec setsid "$$@"' sh`;
  const start =
    `/mnt/node /mnt/package/dist/cli/main.js run --instances=2 --mode=660 /run/example/app.sock -- ${instance} ` +
    '/mnt/node /mnt/package/tests/run/fixtures/drains.mjs /run/example/app.sock';
  const said = 'StandardOutput=append:/mnt/directory/said\nStandardError=append:/mnt/directory/said';
  const adapted = example
    .replace(/^ExecStart=.* run --instances=max --mode=660 \S+ -- node .*$/m, () => `ExecStart=${start}\n${said}`)
    .replace(/^KillMode=mixed\n/m, killMode === 'mixed' ? '$&' : '');
  assert.match(adapted, /^StandardError=/m);
  return adapted;
}

class Systemd {
  readonly #directory: string;
  #init = 0;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async start(t: TestContext, service: string): Promise<Systemd> {
    const directory = temporaryDirectory(t);
    fs.mkdirSync(join(directory, 'units'));
    for (const target of ['default', 'sysinit', 'basic', 'shutdown']) {
      fs.writeFileSync(join(directory, `units/${target}.target`), '[Unit]\nDefaultDependencies=no\n');
    }
    fs.writeFileSync(join(directory, 'units/app.service'), service);
    fs.writeFileSync(join(directory, 'said'), '');
    const args = ['--mount', 'sh', program('systemd.sh'), directory, process.execPath, root];
    const child = spawn('unshare', args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    let complained = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complained += text));
    t.after(async () => {
      child.stdin.end();
      await ended;
    });
    const systemd = new Systemd(directory);
    systemd.#init = Number((await createInterface(child.stdout)[Symbol.asyncIterator]().next()).value);
    // Not before it is systemd: until then, /run is that of this machine.
    await until(() => {
      const proc = `/proc/${systemd.#init}`;
      assert.ok(fs.existsSync(`${proc}/comm`), complained);
      return fs.readFileSync(`${proc}/comm`, 'utf8') === 'systemd\n' && fs.existsSync(`${proc}/root/run/systemd/private`);
    });
    return systemd;
  }

  async control(...args: readonly string[]): Promise<string> {
    const inside = ['--target', String(this.#init), '--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup'];
    const { stdout } = await promisify(execFile)('nsenter', [...inside, 'systemctl', ...args]);
    return stdout;
  }

  /** The lines of `run` and its programs. */
  get said(): readonly string[] {
    return fs.readFileSync(join(this.#directory, 'said'), 'utf8').split('\n');
  }

  async untilSaid(line: string): Promise<void> {
    await until(() => this.said.includes(line));
  }

  /** A request that an instance has accepted and not answered, and the pid of that. */
  async request(): Promise<{ readonly pid: string; readonly answer: () => Promise<string> }> {
    const client = net.connect(`/proc/${this.#init}/root/run/example/app.sock`).setEncoding('utf8');
    const lines = createInterface(client)[Symbol.asyncIterator]();
    const pid = String((await lines.next()).value);
    return {
      pid,
      answer: async () => {
        client.write('late\n');
        return String((await lines.next()).value);
      },
    };
  }
}

for (const killMode of ['control-group', 'mixed']) {
  test(
    `run under systemd with KillMode=${killMode}: a start, a reload, a stop → one SIGTERM for each instance, and requests in progress are answered`,
    { skip: needs('/usr/lib/systemd/systemd', 'systemctl', 'nsenter', 'setpriv').skip || withControlGroups.skip },
    async (t) => {
      const systemd = await Systemd.start(t, unit(killMode));
      // Type=notify: both are ready when it has started.
      await systemd.control('start', 'app.service');
      const statusPids = async (): Promise<readonly string[]> => {
        const status = await systemd.control('show', '--property=StatusText', '--value', 'app.service');
        return /^2 of 2 ready; pid (\d+), (\d+)\n$/.exec(status)?.slice(1) ?? [];
      };
      const first = await statusPids();
      assert.equal(first.length, 2);

      const replaced = await systemd.request();
      assert.ok(first.includes(replaced.pid));
      // This may return at once, or after the last old instance has ended.
      const reloaded = systemd.control('reload', 'app.service');
      await systemd.untilSaid(`${replaced.pid} got SIGTERM 1`);
      assert.equal(await replaced.answer(), 'late');
      for (const pid of first) await systemd.untilSaid(`${pid} ends with 0`);
      await reloaded;
      let second: readonly string[] = [];
      while (second.length !== 2) second = await statusPids();
      assert.equal(new Set([...first, ...second]).size, 4);

      const pending = await systemd.request();
      assert.ok(second.includes(pending.pid));
      const stopped = systemd.control('stop', 'app.service');
      for (const pid of second) await systemd.untilSaid(`${pid} got SIGTERM 1`);
      // A second SIGTERM would come while this request is in progress, once run has looked for the
      // first.
      const other = String(second.find((pid) => pid !== pending.pid));
      await systemd.untilSaid(`${other} ends with 0`);
      for (let time = 0; time < 50; time++) await statusPids();
      assert.equal(await pending.answer(), 'late');
      await stopped;
      const said = systemd.said.filter((line) => / (got|ends) /.test(line));
      assert.deepEqual(
        said.toSorted(),
        [...first, ...second].flatMap((pid) => [`${pid} ends with 0`, `${pid} got SIGTERM 1`]).toSorted(),
      );
      const properties = ['ActiveState', 'ExecMainStatus', 'KillMode', 'NRestarts', 'Result'];
      const shown = await systemd.control('show', `--property=${properties.join()}`, 'app.service');
      assert.deepEqual(shown.trim().split('\n').toSorted(), [
        'ActiveState=inactive',
        'ExecMainStatus=0',
        `KillMode=${killMode}`,
        'NRestarts=0',
        'Result=success',
      ]);
    },
  );
}
