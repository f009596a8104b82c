import { dirname } from 'node:path';
import type { Clauses, Facts } from './facts.js';

/** Returns the row for the errno of a system call. A denied call has a row of its own. */
export function errnoRow({ code, call, path }: Facts): Clauses {
  if (call === 'bind' && path !== '' && (code === 'EPERM' || code === 'ENOTSUP')) return noSockets;
  if (path !== '' && (code === 'EACCES' || code === 'EPERM')) {
    return Object.hasOwn(denials, call) ? denials[call as keyof typeof denials] : denial;
  }
  return Object.hasOwn(errnos, code) ? errnos[code as keyof typeof errnos] : unexplained;
}

const noLocks = meaning(
  () => 'the file system has no locks',
  ({ lockPath }) => ['choose a directory on another file system', lockPath],
);

/** Every errno that can occur, without those of `denials`. */
export const errnos = {
  EACCES: meaning(
    ({ user }) => `${user()} may not do that`,
    () => ['run as a user that may', 'have the permission granted'],
  ),
  EPERM: meaning(
    ({ user }) => `${user()} may not do that`,
    () => ['run as a user that may', 'have the permission granted'],
  ),
  EROFS: meaning(
    () => 'the file system is read-only',
    () => ['choose another directory, such as one under /run'],
  ),
  ENOSPC: meaning(
    () => 'the file system is full, or has no free inode',
    () => ['make room'],
  ),
  EDQUOT: meaning(
    () => 'the disk quota of this user is used up',
    () => ['make room'],
  ),
  EMFILE: meaning(
    () => 'this process has too many open files',
    () => ['raise its limit (ulimit -n)', 'close some'],
  ),
  ENFILE: meaning(
    () => 'the system has too many open files',
    () => ['raise fs.file-max', 'close some'],
  ),
  ENOLCK: noLocks,
  ENOTSUP: noLocks,
  EBUSY: meaning(
    () => 'it is a mount point',
    () => ['unmount it', 'choose another path'],
  ),
  ELOOP: meaning(
    () => 'the path goes through too many symbolic links',
    () => ['correct the links'],
  ),
  ENAMETOOLONG: meaning(
    () => 'a part of the path is longer than the file system allows',
    () => ['use a shorter path'],
  ),
  ENOTDIR: meaning(
    () => 'a part of the path is not a directory',
    () => ['correct the path'],
  ),
  ENOMEM: meaning(
    () => 'the kernel has no memory left',
    () => ['free some'],
  ),
  ESTALE: meaning(
    () =>
      'the file was removed underneath this file system (on a file server, or below an overlay), and no call here can remove its name',
    (_words, { path }) => {
      const directory = dirname(path);
      return [`make the directory anew (mv ${directory} ${directory}.old && mkdir ${directory})`, 'restart the container'];
    },
  ),
  EIO: meaning(
    () => 'the device failed',
    () => ['check the kernel log'],
  ),
} satisfies Record<string, Clauses>;

const unexplained: Clauses = { happened: failing, todo: () => [] };

function meaning(why: (facts: Facts) => string, todo: Clauses['todo']): Clauses {
  return { happened: (facts) => `${failing(facts)}: ${why(facts)}`, todo };
}

function failing({ call, code, path }: Facts): string {
  return `the system call ${call} failed with ${code}${path === '' ? '' : ` on ${path}`}`;
}

/**
 * bind(2) failed in a directory where open(2) has just created the lock file. So the permissions of
 * the directory are not the cause.
 */
const noSockets: Clauses = {
  happened: ({ path, code }) => `the file system of ${dirname(path)} has no sockets (bind failed with ${code})`,
  todo: () => ['choose a directory on another file system, such as /run or /tmp'],
};

const mayNotCreate: Clauses = {
  happened: ({ user, path }) => `${user()} may not create files in ${dirname(path)}`,
  todo: (_words, { listens }) => (listens ? ['choose a directory where it may', 'have one made for it'] : []),
};

const mayNotRemove: Clauses = {
  happened: ({ user, path }) =>
    `${user()} may not remove ${path}: that takes write permission on ${dirname(path)} and, in a sticky directory such as /tmp, ownership of the file`,
  todo: () => ['run as its owner', 'have it removed'],
};

const mayNotSearch: Clauses = {
  happened: ({ user, path }) => `${user()} may not search ${path}, or a directory above it`,
  todo: () => ['run as a user that may', 'have the permission granted'],
};

const denial: Clauses = {
  happened: ({ user, call, path, code }) => `${user()} may not do ${call} on ${path} (${code})`,
  todo: () => [],
};

/** The row for each system call that the kernel denied. */
const denials = {
  open: mayNotCreate,
  bind: mayNotCreate,
  chown: {
    happened: ({ path }) => `only root may give ${path} to another user; others may only give it to a group that they are in`,
    todo: () => ['leave owner and group out', 'run as root'],
  },
  unlink: mayNotRemove,
  rename: mayNotRemove,
  realpath: mayNotSearch,
  lstat: mayNotSearch,
  probe: {
    happened: ({ user, path, owner }) =>
      `${user()} may not connect to ${path}, which belongs to ${owner()}, and so cannot tell whether a server still has it`,
    todo: () => ['run as its owner', 'have it removed'],
  },
} satisfies Record<string, Clauses>;
