import { fits, pathBytesMax } from '../address/address.js';
import { AT_FDCWD, failed, sys, type Errno, type Operation } from '../kernel/kernel.js';

/** Whether a process is bound to a socket file, or the errno that kept us from knowing. */
export type Liveness = 'live' | 'dead' | 'gone' | Errno;

/**
 * Asks the kernel whether a socket file has a socket behind it, by connect(2) with a SOCK_DGRAM socket: a stream listener never
 * sees it, and a full backlog, a stopped process or another namespace make no difference.
 *
 * It follows symlinks, and a regular file looks dead: look at the type first.
 */
export function* probe(path: string): Operation<Liveness> {
  const answer = yield* throughSocketFile(path, (name) => sys.probe(name));
  switch (answer) {
    case 0: // A datagram socket.
    case 'EPROTOTYPE': // A stream socket, listening or only bound.
    case 'EPERM': // A datagram socket that is connected elsewhere.
      return 'live';
    case 'ECONNREFUSED':
      return 'dead';
    case 'ENOENT':
      return 'gone';
    default:
      return answer;
  }
}

/** Makes one call with a name for the socket file that fits sun_path: a long path goes through a descriptor of the file itself. */
export function* throughSocketFile<Result>(
  path: string,
  call: (name: string) => Operation<Result | Errno>,
): Operation<Result | Errno> {
  if (fits(path, pathBytesMax.other)) return yield* call(path);
  const file = yield* sys.openat(AT_FDCWD, path, 'O_PATH|O_NOFOLLOW|O_CLOEXEC', 0);
  if (file === 'ENOSYS') return yield* call(path);
  if (failed(file)) return file;
  const result = yield* call(`/proc/self/fd/${file}`);
  yield* sys.close(file);
  return result;
}
