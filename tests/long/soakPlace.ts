import { AT_FDCWD } from '#dist/kernel/kernel.js';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { kernel } from '#dist/kernel/posix.js';
import { inspect, listen } from 'reuseaddr';
import { inodeAt, leftOpen } from '../support/directory.js';

/** A file of another program, next to the address. */
export const bystander = { name: 'keep.sock', content: 'keep me' } as const;

/**
 * G3, G4: if no process is there, a start has the address at once, and then only the lock file is
 * left. Returns the violations.
 */
export async function whatIsAmiss(address: string, directory: string | undefined): Promise<string | undefined> {
  const server = net.createServer((connection) => connection.end('fresh'));
  try {
    const claim = await listen(server, address);
    await claim.release();
  } catch (error) {
    return `G3: no process has it, and a start fails: ${(error as Error).message}`;
  }
  const { state } = await inspect(address);
  if (state !== 'free') return `inspect says ${state} of a free address`;
  if (directory === undefined) return undefined;
  const left = fs.readdirSync(directory).sort();
  const lockFile = `${address.slice(address.lastIndexOf('/') + 1)}.lock`;
  if (left.join() !== [lockFile, bystander.name].sort().join()) return `G4: left in the directory: ${left}`;
  if (fs.readFileSync(`${directory}/${bystander.name}`, 'utf8') !== bystander.content) return 'G4: the bystander was changed';
  const open = leftOpen(directory);
  return open.length > 0 ? `left open: ${open}` : undefined;
}

/**
 * The work of systemd-tmpfiles(8): a lock file that no process has locked is removed while it is
 * locked by the cleaner, after it has looked at it for a while. Gives whether it did so.
 */
export async function removeUnlocked(path: string, lookMs: number): Promise<boolean> {
  const fd = kernel.openat(AT_FDCWD, path, 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
  if (typeof fd === 'string') return false;
  const status = kernel.fstat(fd);
  const locked = kernel.flock(fd, 'LOCK_EX|LOCK_NB') === 0 && typeof status !== 'string' && status.ino === inodeAt(path);
  if (locked) {
    await pause(lookMs);
    kernel.unlinkat(AT_FDCWD, path);
  }
  kernel.close(fd);
  return locked;
}

/** The sockets of an address, with the processes that have them open: ss(8). */
export function whoHas(address: string): string {
  return spawnSync('ss', ['-xap'], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter((line) => line.includes(address))
    .join('\n');
}
