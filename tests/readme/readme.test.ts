/** Every example of the README is run, against the package as it would be published. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { examplesOf, needsOf, Project, root, type Example } from './examples.js';

const readme = fs.readFileSync(join(root, 'README.md'), 'utf8');
const examples = examplesOf(readme);

/** Commands of this repository; they have no meaning where the package is only installed. */
const ofRepository = /^npm (?:run (\w+)|(test))/gm;

let project: Project;
const directory = fs.mkdtempSync(join(fs.realpathSync(os.tmpdir()), 'ra-'));
before(() => {
  project = new Project(directory);
});
after(() => fs.rmSync(directory, { recursive: true, force: true }));

for (const example of examples) {
  const name = `README.md, line ${example.line}: ${example.heading} (${example.language})`;
  if (example.text.search(ofRepository) >= 0) test(`${name} → package.json has these scripts`, () => checkScripts(example));
  else test(`${name} → runs, and prints what it says`, needsOf(example), () => checkRun(example));
}

async function checkRun(example: Example): Promise<void> {
  assert.match(example.language, /^(ts|sh)$/, 'an example that is not run');
  const { status, printed, missing } = await project.run(example);
  assert.deepEqual(missing, [], `it printed:\n${printed}`);
  assert.equal(status, 0, printed);
}

function checkScripts(example: Example): void {
  const { scripts } = JSON.parse(fs.readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  for (const [, script, npmTest] of example.text.matchAll(ofRepository)) assert.ok(scripts[script ?? npmTest ?? ''], script);
  const others = example.text.split('\n').filter((line) => line !== '' && line.search(ofRepository) < 0);
  assert.deepEqual(others, [], 'commands of the repository stand alone');
}
