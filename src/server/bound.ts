import type { Target } from '../claim/place.js';
import { isFileOf } from '../claim/removeIf.js';
import type { SocketIdentity } from '../handover/message.js';
import { failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/** Returns the identity of a socket that is bound to the address, or undefined if there is none. */
export function identityAt(target: Target): SocketIdentity | undefined {
  if ('abstract' in target) return { dev: 0n, ino: 0n, name: `\0${target.abstract}` };
  const { directory, name, path } = target.place;
  const file = kernel.fstatat(directory.fd, name);
  return failed(file) || file.type !== 'socket' ? undefined : { dev: file.dev, ino: file.ino, name: path };
}

/**
 * Whether a socket is this one, by the file that it is bound to, since a long path was bound under
 * another name. Falls back to the name if the kernel cannot tell.
 *
 * @param name as getsockname(2) returns it
 */
export function isBoundTo(fd: number, name: string, wanted: SocketIdentity): boolean {
  if (wanted.name.startsWith('\0')) return name === wanted.name;
  return isFileOf(kernel.sock_diag(fd), wanted) ?? name === wanted.name;
}
