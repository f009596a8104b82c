/** docs/run.md: its examples do what they say, and it has every option. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { command } from '#dist/cli/runCommand.js';
import { examplesOf, needsOf, root } from '../readme/examples.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { commandLine } from './running.js';

const page = fs.readFileSync(join(root, 'docs/run.md'), 'utf8');

for (const example of examplesOf(page).filter(({ language }) => language === 'sh')) {
  const { heading, text, line } = example;
  test(
    `docs/run.md, "${heading}" → its example prints what it says`,
    { skip: onLinux.skip || needsOf(example).skip },
    async (t) => {
      const directory = temporaryDirectory(t);
      fs.mkdirSync(join(directory, 'bin'));
      fs.symlinkSync(commandLine, join(directory, 'bin/reuseaddr'));
      fs.mkdirSync(join(directory, 'node_modules'));
      fs.symlinkSync(root, join(directory, 'node_modules/reuseaddr'));
      const script = text.replaceAll('/run/', `${directory}/`);
      const child = spawn('sh', ['-e', '-c', script], {
        cwd: directory,
        env: { ...process.env, PATH: `${directory}/bin${delimiter}${process.env['PATH']}` },
        stdio: ['ignore', 'pipe', 'inherit'],
        // A process group of its own, so that what it has started ends with it.
        detached: true,
      });
      t.after(() => {
        try {
          process.kill(-(child.pid ?? 0), 'SIGKILL');
        } catch {
          // All of it has ended.
        }
      });
      let printed = '';
      child.stdout.setEncoding('utf8').on('data', (said: string) => (printed += said));
      const [status] = (await once(child, 'close')) as [number | null];
      assert.equal(status, 0, `the example at line ${line} printed:\n${printed}`);
      let from = 0;
      for (const [, expected = ''] of text.matchAll(/# → (.*)$/gm)) {
        const at = printed.indexOf(expected, from);
        assert.ok(at >= 0, `the example at line ${line} did not print "${expected}" but:\n${printed}`);
        from = at + expected.length;
      }
    },
  );
}

test('docs/run.md → has every option of the command', () => {
  for (const name of Object.keys(command.options)) assert.ok(page.includes(`--${name}`), name);
});
