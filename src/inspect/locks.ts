import { readFileSync } from 'node:fs';
import type { FileStatus } from '../kernel/kernel.js';

/** Files that somebody has flock(2)ed, by `lockKey`. */
type LockedFiles = ReadonlySet<string>;

/**
 * The files that somebody has flock(2)ed, without touching any: to try a lock could make a starter fail.
 *
 * Undefined: there is no /proc/locks here. It does not show the locks of processes in a PID namespace that we can't see.
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
  // `1: FLOCK  ADVISORY  WRITE 412 00:1c:8123 0 EOF`, and with `->` before FLOCK one who waits.
  return new Set([...table.matchAll(/^\d+: (?:-> )?FLOCK +\S+ +\S+ +\S+ (\S+)/gm)].map(([, file = '']) => file));
}

/** The processes that wait for a flock(2) on this file. None: no process does, or this system doesn't tell. */
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

/** How /proc/locks spells a file. */
export function lockKey({ dev, ino }: Pick<FileStatus, 'dev' | 'ino'>): string {
  return `${hex(major(dev))}:${hex(minor(dev))}:${ino}`;
}

function hex(number: bigint): string {
  return number.toString(16).padStart(2, '0');
}

// makedev(3), as glibc and musl spread the two numbers over st_dev.

export function major(dev: bigint): bigint {
  return ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xffff_f000n);
}

export function minor(dev: bigint): bigint {
  return (dev & 0xffn) | ((dev >> 12n) & 0xffff_ff00n);
}
