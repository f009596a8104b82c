/** A folder that every user may read: some tests run this project's programs as another user. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './step.mjs';

/** Any user but root: nobody. */
const other = { uid: 65_534, gid: 65_534, cwd: '/' };

/**
 * Does the work in this project's folder; where we are root and others may not read that (a clone in /root, a umask of 077), in a
 * copy of it. What was installed is not copied: no other user runs that.
 */
export async function inReadableFolder(work) {
  if (process.geteuid?.() !== 0 || spawnSync('test', ['-r', join(root, 'package.json')], other).status === 0)
    return await work(root);
  const copy = mkdtempSync(join(realpathSync(tmpdir()), 'reuseaddr-'));
  try {
    console.log(`Other users may not read ${root}: the tests, which need some, run in a copy of it, ${copy}`);
    const packages = ['node_modules', 'build/packages', 'bench/peers/node_modules'];
    const left = new Set([...packages, '.git'].map((folder) => join(root, folder)));
    cpSync(root, copy, { recursive: true, filter: (from) => !left.has(from) });
    for (const folder of packages) {
      mkdirSync(join(root, folder), { recursive: true });
      symlinkSync(join(root, folder), join(copy, folder));
    }
    execFileSync('chmod', ['-R', 'a+rX', copy]);
    return await work(copy);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
