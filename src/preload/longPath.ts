import { constants } from 'node:os';
import { fits, pathBytesMax } from '../address/address.js';
import { unpinned } from '../claim/place.js';
import { throughSocketFile } from '../claim/probe.js';
import { failed, run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { CreateServerHandle } from './node.js';

/** A client's handle for a Unix socket in node:net. Returns 0 or a negative errno. */
interface PipeHandle {
  connect(request: unknown, path: string): number;
  close(): void;
}

let extended = false;

/**
 * Makes every client of this thread reach a path that does not fit a socket address, because a
 * preloaded server can listen on it.
 *
 * Node makes the handle inside `connect`, so the class of the handles is changed. A descriptor of
 * our own reveals that class.
 */
export function connectLongPaths(create: CreateServerHandle): void {
  if (extended) return;
  extended = true;
  const fd = kernel.socket();
  if (failed(fd)) return;
  const handle = create(null, null, null, fd);
  if (typeof handle === 'number') return void kernel.close(fd);
  const prototype = Object.getPrototypeOf(handle) as PipeHandle;
  handle.close();
  const { connect } = prototype;
  prototype.connect = function (request, path) {
    if (fits(path, pathBytesMax) || path.startsWith('\0')) return connect.call(this, request, path);
    return connectThroughFile(path, (name) => connect.call(this, request, name));
  };
}

function connectThroughFile(path: string, connect: (name: string) => number): number {
  const real = kernel.realpath(path);
  const errno = failed(real) ? real : undefined;
  const result = failed(real)
    ? connect(path)
    : run(
        kernel,
        throughSocketFile(unpinned(real.path), (name) => called(connect, name)),
      );
  if (typeof result === 'number') {
    // Nothing is there. Node 20 and 22 truncate the path, and a plain server of theirs may listen
    // on the truncated one; 24 and later refuse it.
    return errno !== undefined && result === -constants.errno.EINVAL ? negative(errno) : result;
  }
  return negative(result);
}

/** A system call that libuv makes. */
function* called(connect: (name: string) => number, name: string): Generator<never, number> {
  return connect(name);
}

function negative(errno: string): number {
  return -((constants.errno as Record<string, number | undefined>)[errno] ?? constants.errno.EINVAL);
}
