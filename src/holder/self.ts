import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename } from 'node:path';
import { formatProcess, recordOf, type HolderRecord } from '../claim/record.js';

type Self = Omit<HolderRecord, 'sinceMs'>;

let self: string | undefined;

/** What this process says of itself in its lock files. */
export function ownRecord(): string {
  return recordOf((self ??= formatProcess(describeSelf())), Date.now());
}

export function hostName(): string {
  return hostname();
}

function describeSelf(): Self {
  return {
    pid: process.pid,
    uid: process.geteuid?.() ?? 0,
    command: commandLine(),
    startTicks: startTicks('self'),
    pidNamespace: pidNamespace(),
    host: hostName(),
  };
}

function commandLine(): string {
  const [program = 'node', ...args] = [process.argv0, ...process.execArgv, ...process.argv.slice(1)];
  return [basename(program), ...args].join(' ');
}

/** proc(5), stat, field 22. The second field is a name in parentheses that may hold anything, so we count from its end. */
export function startTicks(process: number | 'self'): number | undefined {
  try {
    const stat = readFileSync(`/proc/${process}/stat`, 'latin1');
    const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
    return Number.isSafeInteger(ticks) ? ticks : undefined;
  } catch {
    return undefined; // Not Linux, or no such process.
  }
}

export function pidNamespace(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return undefined;
  }
}
