/** The demo succeeds, and the README's comparison is what it showed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from './examples.js';

const demo = join(root, 'build/demo/main.js');

test('the demo ends well, leaves nothing behind, and fits a terminal of 80 columns without colours', () => {
  const output = runDemo();
  assert.match(output, /Everything happened as described/);
  const tooLong = output.split('\n').filter((line) => line.length > 80 && !line.includes('│'));
  assert.deepEqual(tooLong, []);
  assert.ok(!output.includes('\u001b'), 'colours are for terminals');
  assert.deepEqual(comparisonOfReadme(), comparisonOfDemo(output));
});

function runDemo(): string {
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'demo')]);
  const directory = fs.mkdtempSync('/tmp/ra-');
  try {
    // Throws when its status is not 0.
    const output = execFileSync(process.execPath, [demo], { encoding: 'utf8', env: { ...process.env, TMPDIR: directory } });
    assert.deepEqual(fs.readdirSync(directory), [], 'it removes what it made');
    return output;
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** The rows of the table at the demo's end, by their first column. */
function comparisonOfDemo(output: string): Record<string, string[]> {
  const table = output.slice(output.lastIndexOf('reuseaddr     plain'));
  const rows = table.split('\n').map((line) => line.split(/[✓✗]/).map((cell) => cell.trim()));
  return Object.fromEntries(rows.filter((row) => row.length > 1).map(([step, ...cells]) => [step, cells]));
}

function comparisonOfReadme(): Record<string, string[]> {
  const readme = fs.readFileSync(join(root, 'README.md'), 'utf8');
  const table = readme.slice(readme.indexOf('| | reuseaddr |')).split('\n\n')[0] ?? '';
  const rows = table
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.replaceAll('*', '').trim()),
    );
  return Object.fromEntries(rows.map(([step, ...cells]) => [step, cells]));
}
