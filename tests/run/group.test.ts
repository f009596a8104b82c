/**
 * A signal that reaches the whole process group or control group is not passed on once more; one
 * for run alone is.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { test } from 'node:test';
import { ancestorsOf } from '#dist/holder/ancestors.js';
import { Witness } from '#dist/run/witness.js';
import { temporaryDirectory } from '../support/directory.js';
import { needs } from '../support/commands.js';
import { onLinux } from '../support/privileges.js';
import { until } from '../support/waits.js';
import { childrenOf, commandLine, kill, program as fixture, Running } from './running.js';

const node = process.execPath;

/**
 * Counts its signals, and says the count and ends at SIGUSR1, which comes after the others and
 * means nothing to run.
 */
const counting = `const counts = { SIGTERM: 0, SIGINT: 0, SIGQUIT: 0, SIGUSR2: 0 };
for (const signal of Object.keys(counts)) process.on(signal, () => console.log('got', signal, ++counts[signal]));
process.on('SIGUSR1', () => { console.log('counts', JSON.stringify(counts)); process.exit(); });
setInterval(() => {}, 1000); console.log('supervisor', process.ppid); console.log('serving', process.pid);`;

const signals = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGUSR2'] as const;

/** Those in a group get the signal one after the other, run first or last. */
const senders = [
  { name: 'to run alone', send: ({ pid }: Running, signal: NodeJS.Signals) => process.kill(pid, signal) },
  { name: 'to the process group', send: ({ pid }: Running, signal: NodeJS.Signals) => process.kill(-pid, signal) },
  {
    name: 'to each process of a control group, run first',
    send: ({ pid }: Running, signal: NodeJS.Signals) => [pid, ...childrenOf(pid)].forEach((each) => kill(each, signal)),
  },
  {
    name: 'to each process of a control group, run last',
    send: ({ pid }: Running, signal: NodeJS.Signals) => [...childrenOf(pid), pid].forEach((each) => kill(each, signal)),
  },
  {
    name: 'to run, and then to the process group, as timeout(1) does',
    send: ({ pid }: Running, signal: NodeJS.Signals) => [pid, -pid].forEach((each) => process.kill(each, signal)),
  },
  {
    name: 'to the process group, and the program is in one of its own',
    send: ({ pid }: Running, signal: NodeJS.Signals) => process.kill(-pid, signal),
    start: ['setsid'],
  },
];

for (const { name, send, start = [] } of senders) {
  test(`a signal is sent ${name} → the program gets it once`, onLinux, async (t) => {
    const directory = temporaryDirectory(t);
    await Promise.all(
      signals.map(async (signal) => {
        const args = ['--restart=always', `${directory}/${signal}`, '--', ...start, node, '-e', counting];
        const running = new Running(t, args, { detached: true });
        await running.serving();
        // The program, and the witness.
        await until(() => childrenOf(running.pid).length === 2);
        send(running, signal);
        await running.line(new RegExp(`^got ${signal} 1$`));
        // It is passed on after the other, whatever run has to find out about that.
        running.signal('SIGUSR1');
        const [, counts = ''] = await running.line(/^counts (.*)$/);
        assert.equal((JSON.parse(counts) as Record<string, number>)[signal], 1, `${signal} ${counts}`);
        if (signal !== 'SIGUSR2') assert.equal(await running.exited, 0);
      }),
    );
  });
}

test(
  'a signal is sent to the process group, and the program below a wrapper is in another → it gets it once',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const wrapped = ['sh', '-c', 'setsid "$@"; exit', 'sh', node, fixture('wrapped.mjs'), path];
    for (const signal of ['SIGTERM', 'SIGUSR2'] as const) {
      const running = new Running(t, [path, '--', ...wrapped], { detached: true });
      const pid = await running.serving();
      process.kill(-running.pid, signal);
      await running.line(new RegExp(`^${pid} has had ${signal}$`));
      // The shell dies of any signal, and the program is stopped with it.
      assert.equal(await running.exited, signal === 'SIGTERM' ? 143 : 140);
      const said = running.lines.filter((line) => line.startsWith(`${pid} has had `));
      assert.deepEqual(said, [`${pid} has had ${signal}`, ...(signal === 'SIGTERM' ? [] : [`${pid} has had SIGUSR2 SIGTERM`])]);
    }
  },
);

/** The child of run that is none of these, as soon as there is one. */
async function otherChild(running: Running, ...known: readonly number[]): Promise<number> {
  let other: number | undefined;
  await until(() => (other = childrenOf(running.pid).find((pid) => !known.includes(pid))) !== undefined);
  return other ?? 0;
}

test(
  'a signal has reached the group of a wrapper → the program below it, which has had it, is not sent another',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/app.sock`;
    const running = new Running(t, [path, '--', 'sh', '-c', '"$@"; exit', 'sh', node, fixture('wrapped.mjs'), path]);
    const pid = await running.serving();
    const [wrapper = 0] = ancestorsOf(pid);
    // Two of one kind that wait are one.
    kill(pid, 'SIGUSR2');
    await running.line(new RegExp(`^${pid} has had SIGUSR2$`));
    kill(await otherChild(running, wrapper), 'SIGUSR2');
    running.signal('SIGUSR2');
    running.signal('SIGTERM');
    await running.line(new RegExp(`^${pid} has had SIGUSR2 SIGTERM$`));
  },
);

test(
  'the witness is killed by a signal to it alone → it is no sign: the next signal for run is passed on',
  onLinux,
  async (t) => {
    const path = `${temporaryDirectory(t)}/a`;
    const running = new Running(t, [path, '--', node, '-e', counting]);
    const program = await running.serving();
    const witness = await otherChild(running, program);
    kill(witness, 'SIGINT');
    const second = await otherChild(running, program, witness);
    running.signal('SIGTERM');
    // Nor is another one that comes while run asks it.
    kill(second, 'SIGKILL');
    await running.line(/^got SIGTERM 1$/);
    running.signal('SIGUSR1');
    assert.equal(await running.exited, 0);
  },
);

test('something kills each witness at once → it is not started again and again', onLinux, async (t) => {
  t.mock.method(performance, 'now', () => 0);
  const witness = new Witness();
  t.after(() => witness.close());
  const known = childrenOf(process.pid);
  const current = (): number | undefined => childrenOf(process.pid).find((pid) => !known.includes(pid));
  witness.start();
  let started = 0;
  for (let pid = current(); pid !== undefined; pid = current()) {
    started++;
    const killed = pid;
    kill(killed, 'SIGKILL');
    await until(() => current() !== killed);
  }
  assert.equal(started, 6);
  assert.equal(await witness.saw('SIGTERM'), false);
});

test('the program takes long to stop by SIGTERM → nothing is said, and it is not started again', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/a`;
  const command = [node, '-e', counting];
  const running = new Running(t, ['--restart=always', '--grace=0.1', path, '--', ...command], { detached: true });
  await running.serving();
  process.kill(-running.pid, 'SIGTERM');
  await running.line(/^got SIGTERM 1$/);
  // It comes later, because run first looks for this long whether the program has had it.
  running.signal('SIGUSR2');
  await running.line(/^got SIGUSR2 1$/);
  running.signal('SIGUSR1');
  assert.equal(await running.exited, 0);
  assert.doesNotMatch(running.lines.join('\n'), /still runs|starting it again/);
});

const onTerminal = { skip: onLinux.skip || needs('python3').skip };

function runOnTerminal(steps: readonly (readonly string[])[], ...args: readonly string[]): { status: number; said: string } {
  const command = [JSON.stringify(steps), node, commandLine, 'run', ...args];
  const { stdout, stderr } = spawnSync('python3', [fixture('terminal.py'), ...command], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  });
  assert.equal(stderr, '');
  return JSON.parse(stdout) as { status: number; said: string };
}

const ctrlC = '\u0003';
const ignoring = counting.replace('setInterval', "process.on('SIGHUP', () => process.exit(4)); setInterval");

test('Ctrl-C on a terminal → the program gets one SIGINT, and run ends with it', onTerminal, (t) => {
  const path = `${temporaryDirectory(t)}/a`;
  const steps = [
    ['until', 'serving'],
    ['type', ctrlC],
    ['until', 'got SIGINT 1'],
    ['kill', 'SIGUSR1'],
    ['until', 'counts .*"SIGINT":1,'],
  ];
  assert.equal(runOnTerminal(steps, '--restart=always', path, '--', node, '-e', counting).status, 0);
});

test('the program ignores Ctrl-C and is killed later → it is started again, as --restart=always says', onTerminal, (t) => {
  const path = `${temporaryDirectory(t)}/a`;
  const steps = [
    ['until', 'serving (\\d+)'],
    ['type', ctrlC],
    ['until', 'got SIGINT 1'],
    ['kill', 'SIGKILL'],
    ['until', 'was killed by SIGKILL; starting it again'],
    ['until', 'serving (\\d+)'],
    ['command', ''],
    ['kill', 'SIGTERM'],
    ['until', 'got SIGTERM 1'],
    ['kill', 'SIGUSR1'],
  ];
  assert.equal(runOnTerminal(steps, '--restart=always', path, '--', node, '-e', counting).status, 0);
});

test(
  'the program ignores Ctrl-C and ends long after it → a message says that it continues, and it is started again',
  onTerminal,
  (t) => {
    const path = `${temporaryDirectory(t)}/a`;
    const steps = [
      ['until', 'serving (\\d+)'],
      ['type', ctrlC],
      ['until', 'The program still runs 0.1 s after SIGINT, and is supervised as before'],
      ['kill', 'SIGHUP'],
      ['until', 'ended with status 4; starting it again'],
      ['until', 'serving (\\d+)'],
      ['command', ''],
      ['kill', 'SIGTERM'],
      ['until', 'got SIGTERM 1'],
      ['kill', 'SIGUSR1'],
    ];
    assert.equal(runOnTerminal(steps, '--restart=always', '--grace=0.1', path, '--', node, '-e', ignoring).status, 0);
  },
);

const withNpm = { skip: onLinux.skip || needs('npm').skip };
test(
  'npm is terminated, whose script started run → run ends as by SIGTERM; with --no-follow-parent it stays',
  withNpm,
  async (t) => {
    const directory = temporaryDirectory(t);
    fs.writeFileSync(`${directory}/app.mjs`, counting);
    const line = (option: string, name: string): string =>
      `${node} ${commandLine} run --restart=always ${option} ${directory}/${name} -- ${node} ${directory}/app.mjs`;
    // A shell that stays between npm and run, and does not end with npm.
    const start = `${line('--no-follow-parent', 'stays')} & ${line('', 'follows')}; exit`;
    fs.writeFileSync(`${directory}/package.json`, JSON.stringify({ scripts: { start } }));
    const npm = spawn('npm', ['start', '--silent'], { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [npm.stdout, npm.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    const pids = (): readonly number[] => [...said.matchAll(/^serving (\d+)$/gm)].map(([, pid]) => Number(pid));
    const status = (name: string) => spawnSync(node, [commandLine, 'run', `${directory}/${name}`, '--', 'true']).status;
    t.after(() => {
      npm.kill('SIGKILL');
      const runs = [...said.matchAll(/^supervisor (\d+)$/gm)].map(([, pid]) => Number(pid));
      for (const pid of runs.flatMap((supervisor) => [supervisor, ...childrenOf(supervisor)])) kill(pid, 'SIGKILL');
      npm.stdout.destroy();
      npm.stderr.destroy();
    });
    await until(() => pids().length === 2);
    npm.kill('SIGTERM');
    await until(() => /^reuseaddr: Process \d+, which started this, has ended; ending as by SIGTERM\. /m.test(said));
    await until(() => said.includes('got SIGTERM 1'));
    for (const pid of pids()) kill(pid, 'SIGUSR1');
    await until(() => status('follows') === 0);
    assert.equal(status('stays'), 3);
  },
);

test('a shell that no package manager started ends → run is left running, as a daemon needs it', onLinux, async (t) => {
  const path = `${temporaryDirectory(t)}/a`;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')));
  const command = [node, commandLine, 'run', path, '--', node, '-e', counting];
  const shell = spawn('sh', ['-c', '"$@" & read -r end', 'sh', ...command], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  let said = '';
  shell.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  const pid = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(said)?.[1] ?? 0);
  await until(() => pid('serving') > 0);
  const [running, serving] = [pid('supervisor'), pid('serving')];
  t.after(() => {
    for (const each of [running, serving]) kill(each, 'SIGKILL');
    shell.stdout.destroy();
  });
  const ended = once(shell, 'exit');
  shell.kill('SIGKILL');
  await ended;
  // By the time that the second has come, run would have looked at its parent.
  for (let time = 1; time <= 2; time++) {
    kill(running, 'SIGUSR2');
    await until(() => said.includes(`got SIGUSR2 ${time}\n`));
  }
  assert.doesNotMatch(said, /got SIGTERM/);
});
