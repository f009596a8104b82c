import { readFileSync } from 'node:fs';
import type { FileStatus } from '../kernel/kernel.js';

/** Files that some process has locked with flock(2), by `lockKey`. */
type LockedFiles = ReadonlySet<string>;

/**
 * Returns the files that are locked with flock(2), without touching any: an attempt to lock one
 * could make a start fail.
 *
 * Returns undefined without /proc/locks, which does not show the locks of processes in an invisible
 * PID namespace.
 *
 * @see proc(5), /proc/locks
 */
export function readLocks(): LockedFiles | undefined {
  let table: string;
  try {
    table = readFileSync('/proc/locks', 'latin1');
  } catch {
    return undefined;
  }
  // `1: FLOCK  ADVISORY  WRITE 412 00:1c:8123 0 EOF`. A process that waits has `->` before FLOCK.
  return new Set([...table.matchAll(/^\d+: (?:-> )?FLOCK +\S+ +\S+ +\S+ (\S+)/gm)].map(([, file = '']) => file));
}

/**
 * Returns the processes that wait for a flock(2) on this file. Empty: no process waits, or this
 * system does not tell.
 */
export function lockWaiters(file: Pick<FileStatus, 'dev' | 'ino'>): readonly number[] {
  let table: string;
  try {
    table = readFileSync('/proc/locks', 'latin1');
  } catch {
    return [];
  }
  const key = lockKey(file);
  const waiting = [...table.matchAll(/^\d+: -> FLOCK +\S+ +\S+ +(\d+) (\S+)/gm)];
  return waiting.filter(([, , each]) => each === key).map(([, pid]) => Number(pid));
}

/** Returns the spelling of a file in /proc/locks. */
export function lockKey({ dev, ino }: Pick<FileStatus, 'dev' | 'ino'>): string {
  return `${hex(major(dev))}:${hex(minor(dev))}:${ino}`;
}

function hex(number: bigint): string {
  return number.toString(16).padStart(2, '0');
}

// makedev(3): glibc and musl spread the two numbers over st_dev in this way.

export function major(dev: bigint): bigint {
  return ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xffff_f000n);
}

export function minor(dev: bigint): bigint {
  return (dev & 0xffn) | ((dev >> 12n) & 0xffff_ff00n);
}
