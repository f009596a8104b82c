import assert from 'node:assert/strict';
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { commands } from '#dist/cli/commands.js';
import { readArguments } from '#dist/cli/arguments.js';
import { UsageError, type Command } from '#dist/cli/command.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { leaveStale, reuseaddr, run, runOnTerminal, runProgram } from './support.js';

const isUsage = /^reuseaddr: .*\nUsage: reuseaddr .*\nTry 'reuseaddr.* --help'\.\n$/;

test('it is called wrongly → usage on stderr, nothing on stdout, status 2', async () => {
  const wrong = [
    [],
    ['none'],
    ['toString'],
    ['--none'],
    ['ls', '--none'],
    ['ls', '-x'],
    ['ls', '--json=1'],
    ['inspect'],
    ['inspect', '/run/a', '/run/b'],
    ['inspect', '--lock-path'],
    ['clean'],
    ['clean', '@app'],
    ['connect', '--wait=soon', '/run/a'],
    ['completion', 'tcsh'],
  ];
  for (const args of wrong) {
    const { status, stdout, stderr } = await run(args);
    assert.deepEqual({ args, status, stdout }, { args, status: 2, stdout: '' });
    assert.match(stderr, isUsage);
  }
});

test('what was meant can be guessed → it is said', async () => {
  const said = async (...args: string[]): Promise<string> => (await run(args)).stderr.split('\n')[0] ?? '';
  assert.equal(await said('inspekt', '/run/a'), "reuseaddr: Unknown command 'inspekt'. Did you mean inspect?");
  assert.equal(await said('conect'), "reuseaddr: Unknown command 'conect'. Did you mean connect?");
  assert.equal(
    await said('run', '--restrat=always', '/run/a', '--', 'true'),
    "reuseaddr: Unknown option '--restrat'. Did you mean --restart?",
  );
  assert.equal(await said('ls', '--jsn'), "reuseaddr: Unknown option '--jsn'. Did you mean --json?");
  assert.equal(await said('ls', '--other'), "reuseaddr: Unknown option '--other'.");
  assert.equal(await said('none'), "reuseaddr: Unknown command 'none'.");
  assert.equal(await said('inspect'), 'reuseaddr: Missing ADDRESS.');
  assert.equal(await said('clean'), 'reuseaddr: Missing PATH.');
  assert.equal(await said('run'), 'reuseaddr: Missing ADDRESS and COMMAND.');
  assert.equal(await said('run', '/run/a'), 'reuseaddr: Missing COMMAND.');
  assert.equal(
    await said('run', '--wait', '5', '/run/a', '--', 'true'),
    'reuseaddr: Write --wait=5, or ./5 for a file of that name.',
  );
  assert.equal(await said('connect', '/run/a', '--wait', '.5'), 'reuseaddr: Write --wait=.5, or ./.5 for a file of that name.');
  assert.equal(
    await said('inspect', ''),
    "reuseaddr: Cannot inspect '': the address is empty. Pass a path, or @ and an abstract name.",
  );
});

test('an address that is none → the error says why, status 2', async () => {
  for (const args of [
    ['inspect', ''],
    ['inspect', '/run/'],
    ['connect', ''],
  ]) {
    const { status, stderr } = await run(args);
    assert.equal(status, 2);
    assert.match(stderr, /^reuseaddr: Cannot (inspect|connect to) /);
  }
});

test('--help → every command is listed, and has a page with its options, examples and exit statuses', async () => {
  const overview = await run(['--help']);
  assert.deepEqual([overview.status, overview.stderr], [0, '']);
  for (const [name, { load }] of Object.entries(commands)) {
    assert.match(overview.stdout, new RegExp(`^  ${name} +\\S`, 'm'));
    const { command } = await load();
    assert.equal(command.name, name);
    assert.ok(command.examples.length > 0);
    const { status, stdout } = await run([name, '--help']);
    assert.equal(status, 0);
    assert.ok(stdout.startsWith(`Usage: reuseaddr ${name} `));
    for (const option of Object.keys(command.options)) assert.ok(stdout.includes(`--${option}`), option);
    for (const [line] of command.examples) assert.ok(stdout.includes(line));
    assert.match(stdout, /^Exit status: \S/m);
    assert.ok(Math.max(...stdout.split('\n').map((line) => line.length)) <= 100);
    assert.equal((await run(['help', name])).stdout, stdout);
  }
});

test('--version → that of the package', async () => {
  const { version } = JSON.parse(fs.readFileSync(join(dirname(reuseaddr), '../../package.json'), 'utf8')) as { version: string };
  for (const option of ['--version', '-V']) assert.equal((await run([option])).stdout, `${version}\n`);
});

test('the reader of stdout has gone → no crash, and the work is done', onLinux, async (t) => {
  const directory = temporaryDirectory(t);
  for (let number = 0; number < 100; number++) leaveStale(`${directory}/${number}.sock`);
  for (const command of ['ls', 'clean']) {
    const pipe = `${process.execPath} ${reuseaddr} ${command} ${directory} | true; echo "$\{PIPESTATUS[0]}"`;
    assert.deepEqual(await runProgram(['bash', '-c', pipe]), { status: 0, stdout: '0\n', stderr: '' });
  }
  assert.deepEqual(
    fs.readdirSync(directory).filter((name) => name.endsWith('.sock')),
    [],
  );
});

test('stdout can take no more → the error is said, status 1', onLinux, async (t) => {
  leaveStale(`${temporaryDirectory(t)}/app.sock`);
  const { status, stderr } = await runProgram(['sh', '-c', `exec ${process.execPath} ${reuseaddr} --help >/dev/full`]);
  assert.equal(status, 1);
  assert.match(stderr, /^reuseaddr: cannot write: .*ENOSPC/);
});

test('colour → on a terminal, unless NO_COLOR is set or it is a dumb one; never in a pipe', onLinux, async () => {
  const escape = String.fromCharCode(27);
  assert.ok((await runOnTerminal(['--help'], 80)).includes(`${escape}[1mUsage:`));
  assert.ok(!(await runOnTerminal(['--help'], 80, { NO_COLOR: '1' })).includes(escape));
  assert.ok(!(await runOnTerminal(['--help'], 80, { TERM: 'dumb' })).includes(escape));
  assert.ok(!(await run(['--help'])).stdout.includes(escape));
});

test('the command starts → what it has not been asked for is not loaded', () => {
  const loaded = new Set(staticImports(reuseaddr));
  for (const file of loaded) for (const next of staticImports(file)) loaded.add(next);
  const names = [...loaded].map((file) => file.slice(dirname(reuseaddr).length + 1)).sort();
  assert.deepEqual(names, ['arguments.js', 'command.js', 'commands.js', 'status.js', 'terminal.js']);
});

function staticImports(file: string): string[] {
  const text = fs.readFileSync(file, 'utf8');
  return [...text.matchAll(/^(?:import|export) .*from '(\..*)';$/gm)].map((match) => join(dirname(file), match[1]!));
}

test('a command that runs a program → the options after its first operand are the program’s', () => {
  const command = {
    ...nothing,
    operandsMax: Infinity,
    optionsEndAtOperand: true,
    options: { mode: { value: 'MODE', summary: '' }, wait: { value: 'S', valueIsOptional: true, summary: '' } },
  } as const;
  const read = (...args: string[]) => {
    const { operands, options } = readArguments(command, args);
    return { operands, options: { ...options } };
  };
  assert.deepEqual(read('--mode', '660', '@a', 'node', '--mode', '-x'), {
    operands: ['@a', 'node', '--mode', '-x'],
    options: { mode: '660' },
  });
  assert.deepEqual(read('--wait', '@a', '--', 'node', '--', '-x'), {
    operands: ['@a', 'node', '--', '-x'],
    options: { wait: '' },
  });
  assert.deepEqual(read('--wait=3', '@a'), { operands: ['@a'], options: { wait: '3' } });
  assert.throws(() => read('--none', '@a', 'node'), UsageError);
});

const nothing: Command = {
  name: 'nothing',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description: '',
  options: {},
  examples: [],
  run: () => Promise.resolve(0),
};
