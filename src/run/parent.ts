import { readFileSync } from 'node:fs';
import { parentOf } from '../holder/self.js';

const lookMs = 200;

/** A script's shell may stand between a package manager and this process. */
const shells: ReadonlySet<string> = new Set(['sh', 'dash', 'bash', 'zsh', 'ash', 'ksh', 'busybox', 'fish']);

const ancestorsMax = 8;

/**
 * Whether npm, npx or the like started this process: they all set this variable for their scripts.
 * They end by SIGTERM without passing it on, so the script would stay behind.
 */
export function startedByPackageManager(): boolean {
  return process.env['npm_config_user_agent'] !== undefined || process.env['npm_execpath'] !== undefined;
}

/** Whether this process is the main one of a unit of systemd(1). */
export function startedBySystemd(): boolean {
  return process.env['INVOCATION_ID'] !== undefined && nameOf(process.ppid) === 'systemd';
}

/**
 * Calls `ended` once when the process that started this one has ended. Returns a function that
 * stops watching.
 *
 * PR_SET_PDEATHSIG, prctl(2), will not do: it follows the direct parent, which is the shell of the
 * script, and that lives on when npm is killed.
 */
export function followParent(ended: (pid: number) => void): () => void {
  const ancestors = [process.ppid];
  for (const pid of ancestors) {
    if (ancestors.length > ancestorsMax || !shells.has(nameOf(pid))) break;
    ancestors.push(parentOf(pid) ?? 0);
  }
  const timer = setInterval(() => {
    const lost = ancestors.findIndex(
      (pid, index) => pid !== (index === 0 ? process.ppid : (parentOf(ancestors[index - 1] ?? 0) ?? 0)),
    );
    if (lost < 0) return;
    clearInterval(timer);
    ended(ancestors[lost] ?? 0);
  }, lookMs).unref();
  return () => clearInterval(timer);
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'latin1').trimEnd();
  } catch {
    return ''; // It has ended.
  }
}
