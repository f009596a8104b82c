import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { SocketAddressError } from '../errors/error.js';
import { failed } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { acquireNow } from '../server/acquire.js';
import type { Hold } from '../server/hold.js';
import type { Request } from '../request/options.js';
import type { CreateServerHandle, ListeningHandle } from './node.js';
import type { PreloadOptions } from './options.js';

/** The claim, or the error that says why the address can't be had. Whatever else is thrown is nobody's answer, and stays thrown. */
export type Outcome = Hold | SocketAddressError;

/** Claims an address as REUSEADDR asks. A promise: it may take a while. */
export type Obtain = (request: Request, options: PreloadOptions, signal: AbortSignal) => Outcome | Promise<Outcome>;

/** Claims an address at once. */
export function claimNow(request: Request): Outcome {
  try {
    return acquireNow(request);
  } catch (error) {
    if (error instanceof SocketAddressError) return error;
    throw error;
  }
}

/** The default of `install`. Here `wait`, `takeover`, `handover` and an inherited socket are plugged in. */
export const obtain: Obtain = (request) => claimNow(request);

/** Wraps our listening socket into a handle of Node's, whose close releases the claim. */
export function handleOf(hold: Hold, address: string, create: CreateServerHandle): ListeningHandle | SocketAddressError {
  const handle = create(null, null, null, hold.listenFd);
  if (typeof handle === 'number') {
    hold.surrender();
    const code = getSystemErrorName(handle);
    return new SocketAddressError(`Node cannot open the listening socket (${code}).`, { code, reason: 'system', address });
  }
  releaseOnClose(handle, hold);
  if (hold.place?.long === true) chmodByPath(handle, hold.place.path);
  return handle;
}

/**
 * Releases the claim when the listening handle is closed: not when the server has closed, which waits for its last connection. On
 * the handle and not on the server, because node:cluster's primary keeps nothing else.
 */
function releaseOnClose(handle: ListeningHandle, hold: Hold): void {
  const { close } = handle;
  handle.close = (callback) => hold.surrender(() => close.call(handle, callback));
}

/** UV_READABLE and UV_WRITABLE, and the permissions that they stand for. */
const permissions = [
  { flag: 1, bits: 0o444 },
  { flag: 2, bits: 0o222 },
] as const;

/** libuv looks for the file under the name that was bound. For a long path that was a name in /proc/self/fd, which is gone. */
function chmodByPath(handle: ListeningHandle, path: string): void {
  handle.fchmod = (flags) => {
    const file = kernel.lstat(path);
    if (failed(file)) return -constants.errno.ENOENT;
    const added = permissions.filter(({ flag }) => (flags & flag) !== 0);
    const mode = added.reduce((bits, more) => bits | more.bits, file.mode);
    return kernel.chmod(path, mode) === 0 ? 0 : -constants.errno.EPERM;
  };
}
