/** A folder that every user may read: some tests run this project's programs as another user. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './step.mjs';

/** An unprivileged user. */
const other = { uid: 65_534, gid: 65_534, cwd: '/' };

/**
 * Does the work in this project's folder, or in a copy if root runs it and other users may not read
 * the original (a clone in /root, a umask of 077). Installed packages are not copied: only root
 * runs them.
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
