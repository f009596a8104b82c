import { fits, pathBytesMax } from '../address/address.js';
import type { SocketType } from '../address/socketType.js';
import { unpinned } from '../claim/place.js';
import { probe, throughSocketFile } from '../claim/probe.js';
import type { FailedConnect, Unreachable } from '../errors/explain.js';
import { AT_FDCWD, failed, run, sys, talk, type Conversation, type Errno } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/**
 * Tries to connect once. Returns a connected descriptor, or why it failed. A Unix socket answers at
 * once, or with `EAGAIN`.
 */
export function connectOnce(destination: string, type: SocketType): number | FailedConnect {
  return run(kernel, connectSocket(destination, type));
}

/** Whether another attempt may succeed: a server may start, or may accept. */
export function isTemporary({ unreachable }: FailedConnect): boolean {
  return temporary.has(unreachable);
}

const temporary: ReadonlySet<Unreachable> = new Set(['absent', 'no-directory', 'stale', 'starting', 'backlog-full']);

function* connectSocket(destination: string, type: SocketType): Conversation<number | FailedConnect> {
  const abstract = destination.startsWith('\0');
  const connected = abstract ? yield* talk.connect(destination, type) : yield* connectToFile(destination, type);
  if (!failed(connected)) return connected;
  const unreachable = abstract ? explainAbstract(connected) : yield* explainPathname(destination, connected);
  // connect(2) fails in the same way for a regular file and for a dead socket.
  return { unreachable, errno: unreachable === 'not-a-socket' ? 'ENOTSOCK' : connected, syscall: 'connect' };
}

/**
 * Connects to a path that does not fit sun_path through a descriptor of the socket file. The last
 * component must not be a symlink.
 */
function* connectToFile(path: string, type: SocketType): Conversation<number | Errno> {
  if (fits(path, pathBytesMax)) return yield* talk.connect(path, type);
  const real = yield* sys.realpath(path);
  if (failed(real)) return real;
  return yield* throughSocketFile(unpinned(real.path), (name) => talk.connect(name, type));
}

/**
 * The kernel forgets an abstract name together with its socket. So ECONNREFUSED means that no
 * socket has the name, or that one is bound and does not listen.
 */
function explainAbstract(errno: Errno): Unreachable {
  if (errno === 'ECONNREFUSED') return 'absent';
  return explainErrno(errno);
}

function* explainPathname(path: string, errno: Errno): Conversation<Unreachable> {
  if (errno === 'ENOENT') {
    const directory = path.slice(0, path.lastIndexOf('/')) || '/';
    return (yield* sys.fstatat(AT_FDCWD, directory)) === 'ENOENT' ? 'no-directory' : 'absent';
  }
  if (errno !== 'ECONNREFUSED') return explainErrno(errno);
  const real = yield* sys.realpath(path);
  if (failed(real)) return 'absent'; // It was removed in the meantime.
  const there = yield* sys.fstatat(AT_FDCWD, real.path);
  if (failed(there)) return 'absent';
  if (there.type !== 'socket') return 'not-a-socket';
  return (yield* probe(unpinned(real.path))) === 'live' ? 'starting' : 'stale';
}

function explainErrno(errno: Errno): Unreachable {
  switch (errno) {
    case 'EAGAIN':
      return 'backlog-full';
    case 'EACCES':
    case 'EPERM':
      return 'denied';
    case 'EPROTOTYPE':
      return 'not-a-stream';
    case 'ENAMETOOLONG':
      // Linux reaches a path of any length, so one of its parts is too long for the file system.
      return process.platform === 'linux' ? 'system' : 'too-long';
    default:
      return 'system';
  }
}
