import type { Unhanded, Unpassed } from '../claim/refusal.js';
import { errnoRow } from './errnos.js';
import type { Facts, Row } from './facts.js';

/**
 * Every reason why a call of this package fails: the codes, what happened, and what to do.
 *
 * The type `Reason`, `docs/errors.md` and every message are made from this table. To add a reason,
 * add a row.
 */
export const reasons = {
  held: {
    codes: ['EADDRINUSE'],
    verdict: true,
    happened: ({ holder, since, standing, handover, unpassed }) => {
      if (standing === 'sibling') return `another process of this program, ${holder}, has the socket of reuseaddr run`;
      if (isSupervised(standing, unpassed)) return `${holder} ${holds(since)}, and ${notPassedFor[unpassed ?? 'unreachable']}`;
      const stopped = standing === 'stopped' ? ', and is stopped, so it serves no client' : '';
      const worker = standing === 'worker' ? 'another worker of this cluster, ' : '';
      return `${worker}${holder}${worker === '' ? '' : ','} ${holds(since)}${stopped}${notHandedOver(handover)}`;
    },
    todo: ({ wait, takeover, handover: serve }, { pid, standing, handover, unpassed }) => {
      if (standing === 'sibling') return ['listen in one process of the program', wait];
      if (isSupervised(standing, unpassed)) return notPassedCure[unpassed ?? 'unreachable'];
      if (standing === 'ourselves') return [closeFirst];
      if (standing === 'worker') return [...shareAmongWorkers];
      if (standing === 'stopped') return [`continue it with kill -CONT ${pid}`, 'end it with kill -KILL', wait];
      if (handover === 'unserved') return [serve, 'stop it', wait];
      if (handover === 'late' || handover === 'again') return ['try again', 'stop it', wait];
      return ['stop it', wait, takeover];
    },
  },
  starting: {
    codes: ['EADDRINUSE', 'ECONNREFUSED'],
    verdict: true,
    happened: ({ holder, standing }) =>
      `${holder} holds it but does not listen: it is ${standing === 'stopped' ? 'stopped' : 'starting or stopping'}`,
    todo: ({ wait, longer }, { pid, standing }) =>
      standing === 'stopped' ? [`continue it with kill -CONT ${pid}`, wait, longer] : ['try again', wait, longer],
  },
  displaced: {
    codes: ['EADDRINUSE'],
    verdict: true,
    happened: ({ holder, since }) => `${holder} ${holds(since)}, but its socket file was removed, so no client can connect to it`,
    todo: (_words, { standing }) =>
      standing === 'supervisor'
        ? ['have the program of reuseaddr run leave the file in place, and start run again']
        : ['start it again'],
  },
  stray: {
    codes: ['EADDRINUSE'],
    verdict: true,
    happened: ({ holder, path }) =>
      `${holder} listens on ${path} without holding the lock: it does not use reuseaddr, or its reuseaddr run was killed. It was left alone`,
    todo: ({ wait }) => ['stop it first', wait],
  },
  'other-thread': {
    codes: ['EADDRINUSE'],
    verdict: true,
    happened: () =>
      'this process was given its socket, and another thread listens on it. If one thread closed it, it would close for all',
    todo: () => ['listen in one thread', 'give each thread an address of its own'],
  },
  'other-type': {
    codes: ['EADDRINUSE'],
    verdict: true,
    happened: () => 'this process was given a socket of another type for it (stream, datagram or seqpacket)',
    todo: () => ['claim it with that type', 'have the supervisor bind a socket of this type'],
  },
  unstable: {
    codes: ['EADDRINUSE'],
    verdict: true,
    happened: ({ path }) => `other processes keep binding or removing ${path} at the same time`,
    todo: () => ['find the program that does so without the lock'],
  },
  cancelled: {
    codes: ['EADDRINUSE', 'ECANCELED'],
    verdict: true,
    happened: ({ code, holder, since }) =>
      code === 'ECANCELED' ? 'a call of close() ended the wait' : `${holder} ${holds(since)}, and the wait for it has ended`,
    todo: (_words, { code, standing }) => {
      if (code === 'ECANCELED') return [];
      return standing === 'ourselves' ? [closeFirst] : ['wait longer', 'stop it'];
    },
  },
  'not-a-socket': {
    codes: ['ENOTSOCK'],
    verdict: true,
    happened: ({ path, kind, listens }) => (listens ? `${path} is ${kind}. It was left alone` : `it is ${kind}`),
    todo: (_words, { kind, listens }) => {
      if (!listens) return ['connect to a socket'];
      return kind.startsWith('a symbolic link')
        ? ['use the path that it leads to', 'remove the link']
        : ['move it away', 'choose another path'];
    },
  },
  'aside-occupied': {
    codes: ['EADDRINUSE', 'EEXIST'],
    verdict: true,
    happened: ({ path }) => `${path} is in the way: an interrupted start set it aside, and its own name has been taken since`,
    todo: () => ['look at it, and move it away'],
  },
  'lock-not-a-file': {
    codes: ['EEXIST', 'EISDIR', 'ENXIO', 'EACCES'],
    verdict: true,
    happened: ({ path }) => `the lock file ${path} is not a regular file. It was left alone`,
    todo: ({ lockPath }) => ['move it away', lockPath],
  },
  'lock-is-symlink': {
    codes: ['ELOOP'],
    happened: ({ path }) => `the lock file ${path} is a symbolic link, which is never followed. It was left alone`,
    todo: ({ lockPath }) => ['remove it', lockPath],
  },
  'lock-is-address': {
    codes: ['EINVAL'],
    verdict: true,
    happened: ({ path }) => `the lock file ${path} has a name that the socket needs`,
    todo: ({ lockPath }) => [lockPath],
  },
  'lock-has-links': {
    codes: ['EEXIST'],
    verdict: true,
    happened: ({ path }) =>
      `the lock file ${path} has more than one name (hard links), so it may be another program's file. It was left alone`,
    todo: ({ lockPath }) => ['remove it', lockPath],
  },
  'lock-foreign-content': {
    codes: ['EEXIST'],
    verdict: true,
    happened: ({ path }) => `${path} is not a lock file: it contains something else. It was left alone`,
    todo: ({ lockPath }) => ['move it away', lockPath],
  },
  'lock-foreign-owner': {
    codes: ['EACCES'],
    verdict: true,
    happened: ({ path, owner }) =>
      `the lock file ${path} belongs to ${owner()}, in a directory that others may write to. It was left alone`,
    todo: () => ['have it removed', 'use a directory of your own'],
  },
  'lock-denied': {
    codes: ['EACCES', 'EPERM'],
    happened: ({ code, path, owner, user }) =>
      code === 'EPERM'
        ? `the lock file ${path} is immutable or append-only (chattr(1)), so it cannot be opened for writing`
        : `${user()} may not open the lock file ${path} for writing: it belongs to ${owner()}`,
    todo: (_words, { code, path }) =>
      code === 'EPERM'
        ? [`remove that attribute with chattr -ia ${path}`]
        : [
            `remove ${path} while no program runs there (the owner of its directory may do so)`,
            'run as that user',
            'choose another address',
          ],
  },
  'lock-unstable': {
    codes: ['EAGAIN'],
    verdict: true,
    happened: ({ path }) => `another process keeps removing or replacing the lock file ${path}`,
    todo: () => ['find that process: a lock file must stay'],
  },
  'no-directory': {
    codes: ['ENOENT', 'ENOTDIR'],
    happened: ({ code, path }) => (code === 'ENOTDIR' ? `a part of ${path} is not a directory` : `there is no directory ${path}`),
    todo: ({ longer }, { code, listens }) =>
      code === 'ENOTDIR' ? ['correct the path'] : listens ? ['create it first'] : [longer && 'start the server', longer],
  },
  'directory-moved': {
    codes: ['ESTALE'],
    verdict: true,
    happened: ({ path }) => `${path} was moved away or replaced while the address in it was claimed`,
    todo: ({ wait }) => ['try again', wait],
  },
  'no-proc': {
    codes: ['ENAMETOOLONG'],
    verdict: true,
    happened: ({ path }) => `${path} is over 107 bytes long; such a path is bound through /proc, which is not mounted here`,
    todo: () => ['mount /proc', 'use a shorter path'],
  },
  'too-long': {
    codes: ['ENAMETOOLONG'],
    verdict: true,
    happened: ({ path }) => tooLong(path),
    todo: (_words, { path }) => {
      if (path.startsWith('@')) return ['use a shorter name'];
      return [process.platform === 'linux' ? 'use a shorter file name' : 'use a shorter path'];
    },
  },
  absent: {
    codes: ['ENOENT', 'ECONNREFUSED'],
    happened: () => 'no process listens there',
    todo: ({ longer }) => ['start the server', longer],
  },
  stale: {
    codes: ['ECONNREFUSED'],
    happened: () => 'its server is gone and has left the socket file behind',
    todo: () => ['start the server again, which replaces the file'],
  },
  'backlog-full': {
    codes: ['EAGAIN'],
    happened: ({ holder, standing }) =>
      `its backlog is full: ${holder} ${standing === 'stopped' ? 'is stopped' : 'does not accept connections fast enough, or hangs'}`,
    todo: ({ longer }, { pid, standing }) =>
      standing === 'stopped' ? [`continue it with kill -CONT ${pid}`] : ['give it a larger backlog', longer],
  },
  denied: {
    codes: ['EACCES', 'EPERM'],
    happened: ({ code, user, wrong }) =>
      code === 'EPERM'
        ? wrong || 'a security module does not permit it'
        : `${user()} may not connect: that takes write permission on the socket file, and search permission on every directory above it`,
    todo: (_words, { code, right }) =>
      code === 'EPERM'
        ? [right ?? 'check its policy']
        : ['run as the owner of the socket', 'have its mode, owner or group changed'],
  },
  'not-a-stream': {
    codes: ['EPROTOTYPE'],
    happened: ({ wrong }) => wrong,
    todo: (_words, { right }) => [right],
  },
  'bad-argument': {
    codes: ['ERR_INVALID_ARG_TYPE', 'ERR_SOCKET_DGRAM_NOT_RUNNING'],
    verdict: true,
    happened: ({ wrong }) => wrong,
    todo: (_words, { right }) => [right],
  },
  'bad-address': {
    codes: ['EINVAL', 'EISDIR', 'ENAMETOOLONG', 'ERR_INVALID_ARG_TYPE'],
    verdict: true,
    happened: ({ wrong }) => wrong,
    todo: (_words, { right }) => [right],
  },
  'bad-option': {
    codes: ['EINVAL'],
    verdict: true,
    happened: ({ option, wrong }) => (option === undefined ? wrong : `the option ${option} ${wrong}`),
    todo: (words, { right, instead }) => [right, instead && words[instead]],
  },
  'unknown-user': {
    codes: ['EINVAL'],
    verdict: true,
    happened: ({ option, wrong }) => `there is no user "${wrong}", which the option ${option} names`,
    todo: () => ['correct the name', 'give a uid'],
  },
  'unknown-group': {
    codes: ['EINVAL'],
    verdict: true,
    happened: ({ option, wrong }) => `there is no group "${wrong}", which the option ${option} names`,
    todo: () => ['correct the name', 'give a gid'],
  },
  unsupported: {
    codes: ['ENOTSUP'],
    verdict: true,
    happened: ({ wrong }) => wrong,
    todo: (_words, { right }) => [right],
  },
  'already-listening': {
    codes: ['ERR_SERVER_ALREADY_LISTEN', 'ERR_SOCKET_ALREADY_BOUND'],
    verdict: true,
    happened: ({ code }) =>
      code === 'ERR_SOCKET_ALREADY_BOUND' ? 'the socket is bound already' : 'the server is listening already',
    todo: () => ['close it first'],
  },
  'no-credentials': {
    codes: ['ENOTCONN', 'ENOTSUP'],
    happened: ({ code, call }) => {
      if (code === 'ENOTCONN') return 'the connection is closed, or not open yet';
      return code === 'ENOTSUP' ? 'it is not a Unix socket' : `${call} failed with ${code}`;
    },
    todo: (_words, { code }) => {
      if (code === 'ENOTCONN') return ['ask while it is open, such as in the connection listener'];
      return code === 'ENOTSUP' ? ['listen on a Unix socket'] : [];
    },
  },
  system: {
    codes: [],
    happened: (facts) => errnoRow(facts).happened(facts),
    todo: (words, facts) => errnoRow(facts).todo(words, facts),
  },
} satisfies Record<string, Row>;

/**
 * Why a call failed. A reason is finer than `code`, and has one meaning. `docs/errors.md` lists
 * every reason with its advice.
 */
export type Reason = keyof typeof reasons;

const closeFirst = 'close the server that listens there before you listen again';

/** `listen` in a worker claims the address for that worker alone. */
const shareAmongWorkers = [
  'make the claim in the primary with claim(), and pass its fd to server.listen({ fd }) in every worker',
  'load reuseaddr/register, under which server.listen(path) shares it',
] as const;

/** Why the holder did not hand over, as a further sentence. */
const notHandedOverFor = {
  unserved: 'It serves no handovers',
  late: 'It did not hand over in time',
  again: 'It did not hand over in time',
  denied: 'Only the same user and root get a handover, and it belongs to another user',
  'other-type': 'Its socket is of another type (stream, datagram or seqpacket)',
  'bad-offer': 'It handed over something other than the claim of this address',
} satisfies Record<Unhanded, string>;

/** Whether the holder is a `reuseaddr run` that has the socket for this program. */
function isSupervised(standing: Facts['standing'], unpassed: Facts['unpassed']): boolean {
  return standing === 'supervisor' || (unpassed === 'stranger' && standing === undefined);
}

const notPassedFor = {
  stranger: 'passes its socket only to the processes below its program. This one is not: a process in between has ended',
  unreachable: 'this process, which it started, could not ask it for its socket',
  late: 'did not pass its socket in time',
} satisfies Record<Unpassed, string>;

const notPassedCure = {
  stranger: ['run the server in the foreground'],
  // A process that has the socket has removed the variable from the environment of its children.
  unreachable: [
    'leave REUSEADDR_RUN in the environment',
    'name the server itself as the command of reuseaddr run',
    'listen in the process that has the socket',
  ],
  late: ['try again'],
} satisfies Record<Unpassed, readonly string[]>;

function holds(since: string): string {
  return since === '' ? 'holds it' : `has held it${since}`;
}

function notHandedOver(handover: Facts['handover']): string {
  if (handover === undefined || handover === 'served') return '';
  return `. ${Object.hasOwn(notHandedOverFor, handover) ? notHandedOverFor[handover as Unhanded] : `The handover failed with ${handover}`}`;
}

function tooLong(path: string): string {
  if (path.startsWith('@'))
    return `the abstract name of its handover socket, ${path}, is ${Buffer.byteLength(path) - 1} bytes long, and at most 107 are possible`;
  if (process.platform !== 'linux') return `the whole path, ${path}, is over 103 bytes long`;
  const name = path.slice(path.lastIndexOf('/') + 1);
  return `the file name ${name} is ${Buffer.byteLength(name)} bytes long, and in a path of over 107 bytes it may have at most 85`;
}
