import { execFile } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * Installs the packages that `tests/<folder>/package-lock.json` lists, unless they are there,
 * without their install scripts. Returns the folder that has them in `node_modules`:
 * `build/packages/<folder>`, outside the sources. A linter or compiler that reads the sources would
 * find the packages' types there, and judge the sources differently from then on.
 *
 * With `--force`, packages for other machines are installed, too. Two tests may call this at the
 * same time: each installs next to the final place, and moves the result there.
 */
export async function installPackages(folder: string, options: readonly string[] = []): Promise<string> {
  const source = join(root, 'tests', folder);
  const home = join(root, 'build/packages', folder);
  const lock = fs.readFileSync(join(source, 'package-lock.json'), 'utf8');
  fs.mkdirSync(home, { recursive: true });
  const installed = join(home, 'node_modules');
  const mark = join(installed, '.installed-lock.json');
  const isThere = (): boolean => fs.existsSync(mark) && fs.readFileSync(mark, 'utf8') === lock;
  if (isThere()) return home;

  const workshop = fs.mkdtempSync(join(home, 'node_modules-'));
  try {
    const files = ['package.json', 'package-lock.json', '.npmrc'].filter((file) => fs.existsSync(join(source, file)));
    for (const file of files) fs.copyFileSync(join(source, file), join(workshop, file));
    // On Windows npm is a .cmd file, which only a shell can start.
    const shell = process.platform === 'win32';
    await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', ...options], { cwd: workshop, shell });
    fs.writeFileSync(join(workshop, 'node_modules/.installed-lock.json'), lock);
    // Another test may have been faster, and its programs use the packages now.
    if (isThere()) return home;
    fs.rmSync(installed, { recursive: true, force: true });
    fs.renameSync(join(workshop, 'node_modules'), installed);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error; // Another test was faster.
  } finally {
    fs.rmSync(workshop, { recursive: true, force: true });
  }
  return home;
}

/** A Node.js that tests run on. */
export interface Runtime {
  readonly name: string;
  readonly path: string;
}

/**
 * The Node that runs this test, and the others of 22, 24 and 26 where their packages are made for
 * this machine.
 */
export async function runtimes(): Promise<readonly Runtime[]> {
  const own = { name: `Node ${process.versions.node.split('.', 1)[0]}`, path: process.execPath };
  if (process.platform !== 'linux' || process.arch !== 'x64') return [own];
  const home = await installPackages('runtimes');
  const others = [22, 24, 26].map((major) => ({
    name: `Node ${major}`,
    path: join(home, `node_modules/node-${major}/bin/node`),
  }));
  return [own, ...others.filter(({ name }) => name !== own.name)];
}
