import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { isAddress, unixSockets } from '../kernel/sockets.js';
import { findKept, warn, type Kept } from './kept.js';

/**
 * Removes a directory for the program, except for sockets whose claim another live process holds,
 * and their files.
 *
 * Returns false if there are none, and node:fs may remove the directory at once. A socket of this
 * very process goes with its directory: that is the intent of a program that removes its temporary
 * directory, and leaves nothing that another process could reach.
 */
export function removeDirectory(path: string): boolean {
  const root = kernel.realpath(path);
  const kept = failed(root) ? [] : servedBelow(root.path);
  const [first] = kept;
  if (failed(root) || first === undefined) return false;
  warn(first);
  removeAround(root.path, new Set(kept.flatMap(namesOf)));
  return true;
}

/**
 * Asks the kernel instead of the directory: there are few sockets, and a directory may hold a
 * hundred thousand files.
 */
function servedBelow(root: string): readonly Kept[] {
  const sockets = unixSockets();
  if (failed(sockets)) return [];
  const below = sockets.filter((socket) => isAddress(socket) && socket.name?.startsWith(`${root}/`) === true);
  const kept = below.map(({ name = '' }) => findKept(name));
  return kept.filter((each) => each !== undefined).filter(({ holder }) => holder?.pid !== process.pid);
}

/** The holder's handover socket is one of the kept by itself. */
function namesOf({ place: { path, lockPath, asidePath } }: Kept): readonly string[] {
  return [path, lockPath, asidePath];
}

function removeAround(directory: string, kept: ReadonlySet<string>): void {
  const above = new Set([...kept].map(dirname));
  for (const name of fs.readdirSync(directory)) {
    const path = join(directory, name);
    if (kept.has(path)) continue;
    if ([...above].some((each) => `${each}/`.startsWith(`${path}/`))) removeAround(path, kept);
    else fs.rmSync(path, { recursive: true, force: true });
  }
}
