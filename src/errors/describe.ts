import { unpinned } from '../claim/place.js';
import { probe } from '../claim/probe.js';
import type { Holder } from '../holder/holder.js';
import { userName } from '../holder/users.js';
import { AT_FDCWD, failed, run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { show } from './show.js';

/** Returns `process 412 (node server.js, user www-data)`, as far as the details are known. */
export function describe(holder: Holder | undefined): string {
  if (holder === undefined) return 'another process';
  const user = holder.user ?? (holder.uid === undefined ? undefined : (userName(holder.uid) ?? String(holder.uid)));
  const elsewhere = holder.pidNamespace === undefined ? undefined : 'the pid is that of another PID namespace';
  const details = [
    holder.command,
    user === undefined ? undefined : `user ${user}`,
    holder.host && `on ${holder.host}`,
    elsewhere,
  ];
  const known = details.filter((detail) => detail !== undefined && detail !== '');
  return `process ${holder.pid}${known.length === 0 ? '' : ` (${known.join(', ')})`}`;
}

/** Returns ` since 10:31`, with the date if it was not today. */
export function sinceWhen(holder: Holder | undefined): string {
  if (holder?.since === undefined) return '';
  const since = holder.since;
  const local = new Date(since.getTime() - since.getTimezoneOffset() * 60_000).toISOString();
  const today = since.toDateString() === new Date().toDateString();
  return ` since ${today ? local.slice(11, 16) : local.slice(0, 16).replace('T', ' ')}`;
}

/** Returns the user of this process: `user www-data`. */
export function describeUser(): string {
  return named(kernel.geteuid());
}

/** Returns the user who owns a file. */
export function describeOwner(path: string): string {
  const file = kernel.fstatat(AT_FDCWD, path);
  return failed(file) ? 'another user' : named(file.uid);
}

function named(uid: number): string {
  return `user ${show(userName(uid) ?? String(uid))}`;
}

const kinds = {
  file: 'a regular file',
  directory: 'a directory',
  fifo: 'a FIFO',
  device: 'a device',
  symlink: 'a symbolic link',
} as const;

/**
 * Describes the file that is where a socket should be. A symbolic link to a live socket gets its
 * own words.
 */
export function describeFile(path: string): string {
  const file = kernel.fstatat(AT_FDCWD, path);
  if (failed(file) || file.type === 'socket') return 'not a socket';
  if (file.type !== 'symlink') return `${kinds[file.type]}, not a socket`;
  const target = kernel.realpath(path);
  if (failed(target)) return 'a symbolic link that leads nowhere, not a socket';
  const leads = `a symbolic link to ${show(target.path)}`;
  return run(kernel, probe(unpinned(target.path))) === 'live' ? `${leads}, where a server listens` : `${leads}, not a socket`;
}
