/**
 * A socket that a server has bound through an overlay or a FUSE mount, in another mount namespace
 * as in a container, and a `clean` that sees the directory below: there it looks as if no process
 * had it.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { command } from '#dist/cli/cleanCommand.js';
import type { Terminal } from '#dist/cli/terminal.js';
import { Sides } from '#dist/inspect/sides.js';
import { leaveStale, reuseaddr, run, runProgram, type Outcome } from '../cli/support.js';
import { needs } from '../support/commands.js';
import { temporaryDirectory } from '../support/directory.js';
import { inMountNamespace, withMounts } from '../support/privileges.js';
import { Program } from '../support/program.js';

/** The kernel takes no overlay on an overlay as the upper directory, and /tmp may be one. */
function memory(t: TestContext): string {
  const path = fs.mkdtempSync('/dev/shm/ra-');
  t.after(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

interface Container {
  readonly server: Program;
  readonly address: string;
  readonly stray: string;
}

/**
 * A server in a mount namespace of its own, that has two sockets there: one with a lock, and one of
 * a program without.
 */
async function serve(t: TestContext, directory: string, mount: string, below: string): Promise<Container> {
  const server = await Program.start(t, { under: inMountNamespace(directory, mount) });
  const [address, stray] = [`${directory}/${below}/app.sock`, `${directory}/${below}/stray.sock`];
  await server.ask('listen', { address });
  await server.ask('stray', { address: stray });
  return { server, address, stray };
}

async function assertServes({ server, address, stray }: Container): Promise<void> {
  for (const each of [address, stray]) assert.equal(await server.ask('connect', { address: each }), server.pid);
}

const overlay = `cd "$1" && mkdir -p upper/run lower work merged && mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" merged`;

function skipped(path: string, type: string, mountPoint: string, as = ''): string {
  return `reuseaddr: Skipped ${path}: a file system of type ${type} that is mounted at ${mountPoint} shows it${as}. A live socket that was bound there looks stale from here. Clean ${mountPoint} instead.`;
}

function withoutPath({ status, stdout, stderr }: Outcome, directory: string): Outcome {
  return { status, stdout: stdout.replaceAll(directory, ''), stderr: stderr.replaceAll(directory, '') };
}

test(
  'a container’s root is an overlay → what its servers listen on stays, from above it, below it, and by name',
  withMounts,
  async (t) => {
    const directory = memory(t);
    const container = await serve(t, directory, overlay, 'merged/run');
    leaveStale(`${directory}/stale.sock`);
    const above = withoutPath(await run(['clean', directory]), directory);
    assert.deepEqual([above.status, above.stdout], [0, 'removed /stale.sock\n']);
    assert.deepEqual(above.stderr.trimEnd().split('\n').toSorted(), [
      skipped('/lower', 'overlay', '/merged', ' (lowerdir)'),
      skipped('/upper', 'overlay', '/merged', ' (upperdir)'),
      skipped('/work', 'overlay', '/merged', ' (workdir)'),
    ]);
    for (const operand of ['upper', 'upper/run', 'upper/run/app.sock', 'upper/run/stray.sock']) {
      const outcome = withoutPath(await run(['clean', `${directory}/${operand}`]), directory);
      assert.deepEqual([operand, outcome.status, outcome.stdout], [operand, 1, '']);
      assert.equal(outcome.stderr, `${skipped(`/${operand}`, 'overlay', '/merged', ' (upperdir)')}\n`);
    }
    const dry = await run(['clean', '--dry-run', '--cross-mounts', directory]);
    assert.deepEqual([dry.status, dry.stdout], [0, '']);
    await assertServes(container);
  },
);

test(
  'the socket file of a server was removed underneath its overlay → the next start says what to do, and after that it succeeds',
  withMounts,
  async (t) => {
    const directory = memory(t);
    const { server, address } = await serve(t, directory, overlay, 'merged/run');
    fs.unlinkSync(`${directory}/upper/run/app.sock`);
    await server.ask('release', { address });
    const { code, message } = await server.refused('listen', { address });
    const folder = `${directory}/merged/run`;
    const advice = `mv ${folder} ${folder}.old && mkdir ${folder}`;
    assert.equal(code, 'ESTALE');
    assert.match(message, /no call here can remove its name/);
    assert.ok(message.includes(advice), message);
    execFileSync('nsenter', [`--mount=/proc/${server.pid}/ns/mnt`, 'sh', '-c', advice]);
    await server.ask('listen', { address });
    assert.equal(await server.ask('connect', { address }), server.pid);
  },
);

for (const [how, options, operand] of [
  ['below the path that was given', {}, ''],
  ['by the name of its directory', { 'cross-mounts': true }, '/upper/run'],
  ['by its own name', {}, '/upper/run/app.sock'],
  ['with --dry-run', { 'dry-run': true }, ''],
] as const)
  test(
    `a container starts after \`clean\` has read the mounts, ${how} → what its servers listen on stays`,
    withMounts,
    async (t) => {
      const directory = memory(t);
      const container = await serve(t, directory, overlay, 'merged/run');
      const stale = `${directory}/stale.sock`;
      leaveStale(stale);
      // As the mounts were before the container started.
      t.mock.method(Sides, 'read', () => new Sides(), { times: 1 });
      const said = { printed: '', complained: [] as string[] };
      const terminal: Terminal = {
        columns: undefined,
        style: (_style, text) => text,
        print: (text) => void (said.printed += text),
        complain: (text) => void said.complained.push(`reuseaddr: ${text}`.replaceAll(directory, '')),
      };
      const status = await command.run({ operands: [directory + operand], options, terminal, commands: {} });
      const isNamed = operand !== '';
      assert.deepEqual([status, fs.existsSync(stale)], [operand.endsWith('.sock') ? 1 : 0, isNamed || 'dry-run' in options]);
      assert.deepEqual(said.complained, [skipped('/upper/run', 'overlay', '/merged', ' (upperdir)')]);
      assert.ok(!said.printed.includes('upper'), said.printed);
      await assertServes(container);
    },
  );

/**
 * Runs `clean` in a mount namespace of its own, where a memory file system is mounted at `mounted`,
 * with a stale socket on it.
 */
async function cleanMounted(directory: string, type: string, args: readonly string[]): Promise<Outcome> {
  fs.mkdirSync(`${directory}/mounted`);
  const leave = `import(process.argv[1]).then(({ leaveStale }) => leaveStale(process.argv[2]))`;
  const script = `mount -t ${type} x "$1/mounted" && "$2" -e "$3" "$4" "$1/mounted/app.sock"`;
  const shift = 'shift 3';
  const namespace = inMountNamespace(directory, `${script} && ${shift}`);
  const support = new URL('../cli/support.js', import.meta.url).href;
  const words = [process.execPath, leave, support, process.execPath, reuseaddr, 'clean', ...args, directory];
  return withoutPath(await runProgram([...namespace, ...words]), directory);
}

test(
  'a file system is mounted below the directory → its sockets are cleaned only where that is asked for, and else it is said',
  withMounts,
  async (t) => {
    assert.deepEqual(await cleanMounted(temporaryDirectory(t), 'tmpfs', []), {
      status: 0,
      stdout: '',
      stderr:
        'reuseaddr: Skipped /mounted: another file system (tmpfs) is mounted there. To clean it too, name it, or give --cross-mounts.\n',
    });
    assert.deepEqual(await cleanMounted(temporaryDirectory(t), 'tmpfs', ['--cross-mounts']), {
      status: 0,
      stdout: 'removed /mounted/app.sock\n',
      stderr: '',
    });
  },
);

test(
  'a FUSE file system shows a directory → what servers have bound through it stays',
  { skip: withMounts.skip || needs('bindfs').skip || (!fs.existsSync('/dev/fuse') && 'there is no /dev/fuse') },
  async (t) => {
    const directory = temporaryDirectory(t);
    const container = await serve(t, directory, 'cd "$1" && mkdir back shown && bindfs "$1/back" shown', 'shown');
    const outcome = withoutPath(await run(['clean', directory]), directory);
    assert.deepEqual(outcome, {
      status: 0,
      stdout: '',
      stderr: `${skipped('/back', 'fuse', '/shown')}\n`,
    });
    await assertServes(container);
  },
);
