import { hostname } from 'node:os';
import { basename } from 'node:path';
import { formatProcess, formatRecord, recordOf, type HolderRecord } from '../claim/record.js';
import { AT_FDCWD, failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { permitted } from '../kernel/runtime.js';

type Self = Omit<HolderRecord, 'sinceMs'>;

let self: string | undefined;

/** Returns the record that this process writes to its lock files. */
export function ownRecord(): string {
  return recordOf((self ??= formatProcess(describeSelf())), Date.now());
}

/** Returns the record of a program that was started with the lock. */
export function recordOfProgram(pid: number, [program = '', ...args]: readonly string[]): string {
  const command = [basename(program), ...args].join(' ');
  return formatRecord({ ...describe(pid), command, startTicks: startTicks(pid), sinceMs: Date.now() });
}

export function hostName(): string | undefined {
  return permitted(hostname, undefined);
}

function describeSelf(): Self {
  return { ...describe(process.pid), command: commandLine(), startTicks: startTicks('self') };
}

/** Returns the facts that a process shares with the processes that it starts, and its pid. */
function describe(pid: number): Pick<Self, 'pid' | 'uid' | 'pidNamespace' | 'host'> {
  return { pid, uid: kernel.geteuid(), pidNamespace: pidNamespace(), host: hostName() };
}

function commandLine(): string {
  const [program = 'node', ...args] = [process.argv0, ...process.execArgv, ...process.argv.slice(1)];
  return [basename(program), ...args].join(' ');
}

/** Returns proc(5), stat, field 22. */
export function startTicks(process: number | 'self'): number | undefined {
  return ticksIn(statOf(process));
}

/**
 * Whether a process is stopped by SIGSTOP, SIGTSTP (Ctrl-Z) or a debugger. proc(5), stat, field 3.
 */
export function isStopped(pid: number): boolean {
  return statOf(pid)?.[0]?.toLowerCase() === 't';
}

/** Returns proc(5), stat, field 4. */
export function parentOf(pid: number): number | undefined {
  return birthOf(pid)?.parent;
}

/** Returns proc(5), stat, field 5: its process group. */
export function groupOf(pid: number): number | undefined {
  const group = statOf(pid)?.[2];
  return group === undefined ? undefined : Number(group);
}

/** The process that started another one, and when. */
interface Birth {
  readonly parent: number;
  readonly startTicks: number | undefined;
}

/** Returns both from one look: at the next, the pid may be that of another process. */
export function birthOf(pid: number): Birth | undefined {
  const stat = statOf(pid);
  return stat && { parent: Number(stat[1]), startTicks: ticksIn(stat) };
}

function ticksIn(stat: readonly string[] | undefined): number | undefined {
  const ticks = Number(stat?.[19]);
  return Number.isSafeInteger(ticks) ? ticks : undefined;
}

/** More than a line of fifty numbers can have. */
const statBytesMax = 2048;

/**
 * Returns proc(5), stat, from the third field on. The second is a name in parentheses that may
 * contain anything. Undefined: not Linux, or no such process.
 *
 * Uses the system calls that a claim makes anyway. The first readFileSync of a process takes twice
 * as long.
 */
function statOf(process: number | 'self'): readonly string[] | undefined {
  const fd = kernel.openat(AT_FDCWD, `/proc/${process}/stat`, 'O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
  if (failed(fd)) return undefined;
  try {
    const stat = kernel.pread(fd, statBytesMax);
    return failed(stat) ? undefined : stat.text.slice(stat.text.lastIndexOf(')') + 2).split(' ');
  } finally {
    kernel.close(fd);
  }
}

export function pidNamespace(): string | undefined {
  const link = kernel.readlink('/proc/self/ns/pid');
  return failed(link) ? undefined : link.path;
}
