import { spawnSync } from 'node:child_process';

/** For tests that need programs which not every machine has. `.ci/run` installs them all. */
export function needs(...programs: readonly string[]): { skip: string | false } {
  const missing = programs.find((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);
  return { skip: missing !== undefined && `${missing} is not installed` };
}
