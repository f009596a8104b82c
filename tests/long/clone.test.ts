/**
 * Before the package is on a registry: installed from a Git URL, and from a clone next to the
 * project. Downloads the build's tools.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fixtures, root } from '../package/installed.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

const fromGit = { skip: onLinux.skip || (!fs.existsSync(join(root, '.git')) && 'this folder is no clone') } as const;

/**
 * A clone of what has been committed, and a project next to it that installs the package from
 * there. Returns the project.
 */
function install(t: TestContext, from: (clone: string) => string): string {
  const directory = temporaryDirectory(t);
  const [clone, user] = [join(directory, 'clone'), join(directory, 'user')];
  execFileSync('git', ['-c', 'safe.directory=*', 'clone', '--quiet', root, clone], { stdio: 'pipe' });
  fs.mkdirSync(user);
  fs.writeFileSync(join(user, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
  fs.copyFileSync(join(fixtures, 'bundled.mjs'), join(user, 'bundled.mjs'));
  execFileSync('npm', ['install', '--no-audit', '--no-fund', from(clone)], { cwd: user, stdio: 'pipe' });
  return user;
}

for (const [what, from] of [
  ['a Git URL', (clone: string) => `git+file://${clone}`],
  ['a clone', () => '../clone'],
] as const) {
  test(`npm install of ${what} → it is built, and a server listens`, fromGit, (t) => {
    const user = install(t, from);
    const answer = execFileSync(process.execPath, ['bundled.mjs', join(user, 's')], { cwd: user, encoding: 'utf8' });
    assert.equal(answer, 'hello\n');
  });
}
