import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { basename, join } from 'node:path';

/**
 * Options of a test that calls programs which not every machine has, `.ci/run` installs them all.
 * Only for what such a program is the point of: everything else is tested with what every machine
 * has that can build the package, Node and a C compiler.
 */
export function needs(...programs: readonly string[]): { skip: string | false } {
  const missing = programs.find((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);
  return { skip: missing !== undefined && `${missing} is not installed` };
}

let folder: string | undefined;

/**
 * Compiles a C program of the tests, once in a process; gives its path, where every user may run
 * it.
 */
export function compiled(source: string): string {
  if (folder === undefined) {
    const made = fs.mkdtempSync(join(os.tmpdir(), 'ra-c-'));
    process.on('exit', () => fs.rmSync(made, { recursive: true, force: true }));
    fs.chmodSync(made, 0o755);
    folder = made;
  }
  const program = join(folder, basename(source, '.c'));
  if (!fs.existsSync(program)) {
    execFileSync(process.env['CC'] ?? 'cc', ['-O2', '-Wall', '-Wextra', '-o', program, source]);
    fs.chmodSync(program, 0o755);
  }
  return program;
}
