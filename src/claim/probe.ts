import { fits, pathBytesMax } from '../address/address.js';
import { failed, sys, type ClaimCall, type Errno, type Operation, type SystemCall } from '../kernel/kernel.js';
import { throughOf, type Named } from './place.js';

/** Whether a process is bound to a socket file, or the errno that prevented the answer. */
export type Liveness = 'live' | 'dead' | 'gone' | Errno;

/**
 * Asks the kernel whether a socket file has a socket behind it, by connect(2) with a SOCK_DGRAM
 * socket.
 *
 * The process at the other end never sees this, whatever the type of its socket: it answers for
 * another type too. A full backlog, a stopped process or another namespace make no difference.
 * connect(2) follows symlinks, and to it a regular file looks dead: check the type first.
 */
export function* probe(file: Named): Operation<Liveness> {
  const answer = yield* throughSocketFile(file, (name) => sys.probe(name));
  switch (answer) {
    case 0: // A datagram socket.
    case 'EPROTOTYPE': // A stream or seqpacket socket, listening or only bound.
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

/**
 * Makes one call with a name of the socket file that fits sun_path: a long name goes through a
 * descriptor of the file itself.
 */
export function* throughSocketFile<Result, Call extends SystemCall>(
  file: Named,
  call: (name: string) => Generator<Call, Result | Errno, unknown>,
): Generator<Call | ClaimCall, Result | Errno, unknown> {
  const through = throughOf(file);
  if (fits(through, pathBytesMax)) return yield* call(through);
  const opened = yield* sys.openat(file.directory.fd, file.name, 'O_PATH|O_NOFOLLOW|O_CLOEXEC', 0);
  if (opened === 'ENOSYS') return yield* call(through);
  if (failed(opened)) return opened;
  const result = yield* call(`/proc/self/fd/${opened}`);
  yield* sys.close(opened);
  return result;
}
