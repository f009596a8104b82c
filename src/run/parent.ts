import { readFileSync } from 'node:fs';

const lookMs = 200;

/** A script's shell may stand between a package manager and us. */
const shells: ReadonlySet<string> = new Set(['sh', 'dash', 'bash', 'zsh', 'ash', 'ksh', 'busybox', 'fish']);

const ancestorsMax = 8;

/**
 * Whether npm, npx or the like started us: they all set this for their scripts. They don't pass SIGTERM on, and end by it: then the
 * script would stay behind, with nothing above it.
 */
export function startedByPackageManager(): boolean {
  return process.env['npm_config_user_agent'] !== undefined || process.env['npm_execpath'] !== undefined;
}

/**
 * Calls `ended` once when what started us has ended. Not by PR_SET_PDEATHSIG, prctl(2): that is of the direct parent, the shell of the
 * script, which lives on when npm is killed. Gives what ends it.
 */
export function followParent(ended: (pid: number) => void): () => void {
  const ancestors = [process.ppid];
  for (const pid of ancestors) {
    if (ancestors.length > ancestorsMax || !shells.has(nameOf(pid))) break;
    ancestors.push(parentOf(pid));
  }
  const timer = setInterval(() => {
    const lost = ancestors.findIndex((pid, index) => pid !== (index === 0 ? process.ppid : parentOf(ancestors[index - 1] ?? 0)));
    if (lost < 0) return;
    clearInterval(timer);
    ended(ancestors[lost] ?? 0);
  }, lookMs).unref();
  return () => clearInterval(timer);
}

/** Whether we have started a process, or one that has started it. */
export function isDescendant(pid: number): boolean {
  let ancestor = pid;
  for (let level = 0; level < ancestorsMax && ancestor > 1; level++) {
    ancestor = parentOf(ancestor);
    if (ancestor === process.pid) return true;
  }
  return false;
}

/** proc(5), stat: the name in parentheses, then the state, then the parent. Nothing: there is no such process (any more). */
function statOf(pid: number): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return [stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')), ...stat.slice(stat.lastIndexOf(')') + 2).split(' ')];
  } catch {
    return [];
  }
}

function nameOf(pid: number): string {
  return statOf(pid)[0] ?? '';
}

function parentOf(pid: number): number {
  return Number(statOf(pid)[2] ?? 0);
}
