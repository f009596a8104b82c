import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { commands } from '#dist/cli/commands.js';
import { needs } from '../support/commands.js';
import { temporaryDirectory } from '../support/directory.js';
import { run, runProgram } from './support.js';

const shells = ['bash', 'zsh', 'fish'];

for (const shell of shells) {
  test(`the script for ${shell} → the shell can read it, and it names every command and option`, needs(shell), async (t) => {
    const script = `${temporaryDirectory(t)}/script`;
    const { stdout } = await run(['completion', shell]);
    fs.writeFileSync(script, stdout);
    assert.deepEqual(await runProgram([shell, '-n', script]), { status: 0, stdout: '', stderr: '' });
    for (const [name, { load }] of Object.entries(commands)) {
      assert.ok(stdout.includes(name));
      const { command } = await load();
      for (const option of Object.keys(command.options)) assert.ok(stdout.includes(option), `${name} ${option}`);
    }
  });
}

test('bash completes a command line → commands, options, words and paths', needs('bash'), async (t) => {
  const directory = temporaryDirectory(t);
  fs.writeFileSync(`${directory}/a file.sock`, '');
  const script = (await run(['completion', 'bash'])).stdout;
  const complete = async (...words: string[]) => {
    const line = `${script}
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _reuseaddr; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = await runProgram(['env', '-u', 'BASH_ENV', 'bash', '-c', line, 'bash', 'reuseaddr', ...words]);
    assert.equal(stderr, '');
    return stdout.split('\n').filter((word) => word !== '');
  };
  assert.deepEqual(await complete(''), [...Object.keys(commands), '--help', '--version']);
  assert.deepEqual(await complete('in'), ['inspect']);
  assert.deepEqual(await complete('ls', '--j'), ['--json']);
  assert.deepEqual(await complete('clean', '-'), ['--dry-run', '--locks', '--cross-mounts', '--json', '--help']);
  assert.deepEqual(await complete('connect', '--w'), ['--wait']);
  assert.deepEqual(await complete('completion', ''), shells);
  // Bash makes a word of the `=`.
  assert.deepEqual(await complete('run', '--restart', '='), ['never', 'on-failure', 'always']);
  assert.deepEqual(await complete('run', '--restart', '=', 'on'), ['on-failure']);
  assert.deepEqual(await complete('ls', '--state', '=', 'st'), ['starting', 'stale', 'stray']);
  assert.deepEqual(await complete('help', 'cl'), ['clean']);
  // Nothing: `complete -o default` has bash complete a path, which it also quotes.
  assert.deepEqual(await complete('inspect', `${directory}/a`), []);
});

test('fish completes a command line', needs('fish'), async (t) => {
  const script = `${temporaryDirectory(t)}/script`;
  fs.writeFileSync(script, (await run(['completion', 'fish'])).stdout);
  const complete = async (line: string) => {
    const { stdout } = await runProgram(['fish', '--no-config', '-c', `source ${script}; complete -C '${line}'`]);
    return stdout.split('\n').map((word) => word.split('\t')[0] ?? '');
  };
  assert.ok((await complete('reuseaddr ins')).includes('inspect'));
  assert.ok((await complete('reuseaddr ls --')).includes('--json'));
  assert.ok((await complete('reuseaddr run --restart=')).includes('--restart=on-failure'));
  assert.deepEqual((await complete('reuseaddr completion ')).filter((word) => shells.includes(word)).sort(), shells.toSorted());
});
