import { refuse } from '#dist/claim/refusal.js';
import { AT_FDCWD, failed, sys, talk, type Errno, type Conversation, type SystemCall } from '#dist/kernel/kernel.js';
import type { Guarantee } from './guarantees.js';
import type { Scheme } from './lives.js';
import type { Claim } from './process.js';
import type { World } from './world.js';

/** A scheme that is in common use, and the guarantee that it breaks. */
export interface NaiveScheme extends Scheme {
  readonly key: string;
  readonly name: string;
  /** Programs that do so (design, section 2). */
  readonly usedBy: string;
  readonly caughtBy: Guarantee['name'];
  /** The file that is there before, if it is not a stale socket. */
  readonly before?: (world: World) => World;
}

const open = 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';
const create = 'O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';

/** socket(2), bind(2), listen(2). A claim without a lock, or the errno of bind(2). */
function* plainListen(path: string, lockFd = -1): Conversation<Claim | Errno> {
  const listenFd = (yield* sys.socket()) as number;
  yield* sys.fchmod(listenFd, 0o600);
  const bound = yield* sys.bind(listenFd, path);
  if (failed(bound)) {
    yield* sys.close(listenFd);
    return bound;
  }
  const named = yield* sys.sock_diag(listenFd);
  yield* sys.listen(listenFd, 1);
  return { lockFd, listenFd, identity: failed(named) ? { dev: 0n, ino: 0n } : named };
}

function* listenOrRefuse(path: string, lockFd?: number): Conversation<unknown> {
  const listening = yield* plainListen(path, lockFd);
  return failed(listening) ? refuse('stray', listening, 'bind', path) : listening;
}

function* closeSocket({ listenFd }: Claim): Conversation<void> {
  yield* sys.close(listenFd);
}

const unlinkFirst: NaiveScheme = {
  key: 'unlink-first',
  name: 'unlink first',
  usedBy: 'Redis, gunicorn, uvicorn, asyncio, gRPC, node-ipc',
  caughtBy: 'G2',
  *start({ path }) {
    yield* sys.unlinkat(AT_FDCWD, path);
    return yield* listenOrRefuse(path);
  },
  release: (_place, claim) => closeSocket(claim),
};

const unlinkAtExit: NaiveScheme = {
  key: 'unlink-at-exit',
  name: 'unlink at exit',
  usedBy: 'libuv, so every plain server.listen(path) of Node',
  caughtBy: 'G3',
  before: (empty) => empty,
  start: ({ path }) => listenOrRefuse(path),
  *release({ path }, { listenFd }) {
    yield* sys.close(listenFd);
    yield* sys.unlinkat(AT_FDCWD, path);
  },
};

const connectProbe: NaiveScheme = {
  key: 'connect-probe',
  name: 'connect-probe, then unlink',
  usedBy: 'VS Code, most forum answers',
  caughtBy: 'G2',
  *start({ path }) {
    const first = yield* plainListen(path);
    if (first !== 'EADDRINUSE') return first;
    const connection = yield* talk.connect(path);
    if (!failed(connection)) {
      yield* sys.close(connection);
      return refuse('stray', 'EADDRINUSE', 'bind', path);
    }
    if (connection === 'ECONNREFUSED') yield* sys.unlinkat(AT_FDCWD, path);
    return yield* listenOrRefuse(path);
  },
  release: unlinkAtExit.release,
};

/**
 * The pid file is written and then renamed into place, so that it is never torn, and no pid is ever
 * given again.
 */
const pidFile: NaiveScheme = {
  key: 'pid-file',
  name: 'pid file',
  usedBy: 'init scripts, and daemons of every kind',
  caughtBy: 'G2',
  *start({ path }) {
    const pidPath = '/run/app.pid';
    const pid = yield* otherCall<number>('getpid');
    const draftPath = `${pidPath}.${pid}`;
    yield* sys.unlinkat(AT_FDCWD, draftPath);
    const draft = yield* sys.openat(AT_FDCWD, draftPath, create, 0o600);
    if (failed(draft)) return refuse('system', draft, 'open');
    yield* sys.pwrite(draft, String(pid));
    for (let attempt = 0; attempt < 3; attempt++) {
      const linked = yield* sys.linkat(AT_FDCWD, draftPath, pidPath);
      if (linked === 0) {
        yield* sys.unlinkat(AT_FDCWD, path);
        return yield* listenOrRefuse(path, draft);
      }
      const holder = yield* readPid(pidPath);
      if (holder !== undefined && holder !== pid && (yield* otherCall<0 | Errno>('kill', holder)) === 0) break;
      yield* sys.unlinkat(AT_FDCWD, pidPath);
    }
    yield* sys.close(draft);
    return refuse('stray', 'EADDRINUSE', 'link');
  },
  *release({ path }, { listenFd, lockFd }) {
    yield* sys.close(listenFd);
    yield* sys.unlinkat(AT_FDCWD, path);
    yield* sys.unlinkat(AT_FDCWD, '/run/app.pid');
    yield* sys.close(lockFd);
  },
};

function* readPid(pidPath: string): Conversation<number | undefined> {
  const fd = yield* sys.openat(AT_FDCWD, pidPath, open, 0);
  if (failed(fd)) return undefined;
  const content = yield* sys.pread(fd, 20);
  yield* sys.close(fd);
  return failed(content) || content.text === '' ? undefined : Number(content.text);
}

const lockFileUnlinked: NaiveScheme = {
  key: 'lock-unlinked',
  name: 'lock file that is unlinked at release',
  usedBy: 'libwayland, tmux',
  caughtBy: 'G2',
  *start({ path, lockPath }) {
    let lock = yield* sys.openat(AT_FDCWD, lockPath, open, 0);
    if (lock === 'ENOENT') lock = yield* sys.openat(AT_FDCWD, lockPath, create, 0o600);
    if (failed(lock)) return refuse('system', lock, 'open');
    const locked = yield* sys.flock(lock, 'LOCK_EX|LOCK_NB');
    if (failed(locked)) {
      yield* sys.close(lock);
      return refuse('held', 'EADDRINUSE', 'flock');
    }
    yield* sys.unlinkat(AT_FDCWD, path);
    return yield* listenOrRefuse(path, lock);
  },
  *release({ path, lockPath }, { lockFd, listenFd }) {
    yield* sys.close(listenFd);
    yield* sys.unlinkat(AT_FDCWD, path);
    yield* sys.unlinkat(AT_FDCWD, lockPath);
    yield* sys.close(lockFd);
  },
};

export const naiveSchemes: readonly NaiveScheme[] = [unlinkFirst, unlinkAtExit, connectProbe, pidFile, lockFileUnlinked];

function* otherCall<Answer>(name: 'getpid' | 'kill', ...args: number[]): Conversation<Answer> {
  return (yield { name, args } as unknown as SystemCall) as Answer;
}
