import { readFileSync } from 'node:fs';
import type { FileStatus } from '../kernel/kernel.js';

/**
 * Whether somebody has this file flock(2)ed, without touching it: to try the lock could make a starter fail.
 *
 * Undefined: there is no /proc/locks here. It does not show the locks of processes in a PID namespace that we can't see.
 *
 * @see proc(5), /proc/locks
 */
export function isLocked({ dev, ino }: Pick<FileStatus, 'dev' | 'ino'>): boolean | undefined {
  const table = readLocks();
  if (table === undefined) return undefined;
  const file = `${hex(major(dev))}:${hex(minor(dev))}:${ino}`;
  return table.split('\n').some((line) => {
    const [, kind, , , , locked] = line.replace('-> ', '').split(/\s+/);
    return kind === 'FLOCK' && locked === file;
  });
}

function readLocks(): string | undefined {
  try {
    return readFileSync('/proc/locks', 'latin1');
  } catch {
    return undefined;
  }
}

function hex(number: bigint): string {
  return number.toString(16).padStart(2, '0');
}

// makedev(3), as glibc and musl spread the two numbers over st_dev.

function major(dev: bigint): bigint {
  return ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xffff_f000n);
}

function minor(dev: bigint): bigint {
  return (dev & 0xffn) | ((dev >> 12n) & 0xffff_ff00n);
}
