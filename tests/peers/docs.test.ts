import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { examplesOf, root } from '../readme/examples.js';
import { abstractName } from '../support/abstract.js';
import { temporaryDirectory } from '../support/directory.js';
import { asRoot } from '../support/privileges.js';

for (const { language, line, heading, text } of examplesOf(fs.readFileSync(join(root, 'docs/access-control.md'), 'utf8'))) {
  if (language === 'nginx') continue;
  test(`docs/access-control.md, line ${line}: ${heading} → prints what the page says`, asRoot, async (t) => {
    assert.equal(language, 'js');
    const directory = temporaryDirectory(t);
    const name = abstractName().address.slice(1);
    const program = text
      .replaceAll('/run/', `${directory}/`)
      .replaceAll('@app', `@${name}`)
      .replaceAll(String.raw`\0app`, String.raw`\0${name}`);
    // From here `reuseaddr` is this package.
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let printed = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      printed += chunk;
    });
    const [status] = (await once(child, 'close')) as [number];
    const expected = [...program.matchAll(/\/\/ → (.*)$/gm)].map((match) => match[1]!);
    assert.ok(expected.length > 0);
    assert.deepEqual([printed.trim().split('\n').sort(), status], [expected.sort(), 0]);
  });
}

test('SECURITY.md and docs/access-control.md → every test that they name is there, and every link leads somewhere', () => {
  for (const page of ['SECURITY.md', 'docs/access-control.md']) {
    const text = fs.readFileSync(join(root, page), 'utf8');
    const named = [...text.matchAll(/`(tests\/[\w/.-]+)`/g)].map((match) => join(root, match[1]!));
    const linked = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => join(root, page, '..', match[1]!));
    assert.deepEqual(
      [...named, ...linked].filter((path) => !fs.existsSync(path)),
      [],
      page,
    );
  }
});
