import { socketTypes, type SocketType } from '#dist/address/socketType.js';
import { AT_FDCWD, sys, talk, type FileStatus, type FileType, type Conversation, type OpenFlags } from '#dist/kernel/kernel.js';

/** A little scenario whose answers must be the same from every kernel that the protocol runs on. */
export interface Conformance {
  readonly name: string;
  /** Files that are there before: name, type, and content or target. */
  readonly files?: readonly (readonly [name: string, type: FileType, text: string])[];
  /** Whether it uses sockets of the given type, and so is compared for each of them. */
  readonly everyType?: true;
  /** `d` is an empty directory. Gives all that there is to compare. */
  readonly run: (d: string, type: SocketType) => Conversation<unknown>;
}

const rdwr = 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';
const create = 'O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';
const rdonly = 'O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC';
const path = 'O_PATH|O_NOFOLLOW|O_CLOEXEC';
const flags: readonly OpenFlags[] = [rdwr, create, rdonly, path];

export const conformance: readonly Conformance[] = [
  {
    everyType: true,
    name: 'a name is bound twice → EADDRINUSE, and the first socket keeps it',
    *run(d, type) {
      const [a, b] = [yield* opened(sys.socket(type)), yield* opened(sys.socket(type))];
      const answers = [yield* sys.bind(a, `${d}/s`), yield* sys.bind(b, `${d}/s`), yield* sys.probe(`${d}/s`)];
      return [...answers, yield* sys.bind(a, `${d}/other`), yield* sys.fstatat(AT_FDCWD, `${d}/other`), yield* closed(a, b)];
    },
  },
  {
    everyType: true,
    name: 'bind on anything that has the name, or without a directory → refused',
    files: [
      ['file', 'file', 'x'],
      ['directory', 'directory', ''],
      ['dangling', 'symlink', 'nowhere'],
    ],
    *run(d, type) {
      const fd = yield* opened(sys.socket(type));
      const answers = [];
      for (const name of ['file', 'directory', 'dangling', 'missing/s']) answers.push(yield* sys.bind(fd, `${d}/${name}`));
      return [...answers, yield* sys.bind(fd, `${d}/s`), yield* closed(fd)];
    },
  },
  {
    everyType: true,
    name: 'the mode of a socket file → what fchmod said before bind, less the umask; after bind it says nothing',
    *run(d, type) {
      const [a, b] = [yield* opened(sys.socket(type)), yield* opened(sys.socket(type))];
      const answers = [yield* sys.fchmod(a, 0o622), yield* sys.bind(a, `${d}/a`), yield* sys.bind(b, `${d}/b`)];
      const before = [yield* sys.fstatat(AT_FDCWD, `${d}/a`), yield* sys.fstatat(AT_FDCWD, `${d}/b`)];
      yield* sys.fchmod(a, 0o600);
      const after = [
        yield* sys.fstatat(AT_FDCWD, `${d}/a`),
        yield* sys.fchmodat(AT_FDCWD, `${d}/a`, 0o640),
        yield* sys.fstatat(AT_FDCWD, `${d}/a`),
      ];
      return [answers, before, after, yield* closed(a, b)];
    },
  },
  {
    everyType: true,
    name: 'probe → live while bound, listening or not; dead after; a file looks dead; a symlink is followed',
    files: [
      ['file', 'file', 'x'],
      ['directory', 'directory', ''],
      ['dangling', 'symlink', 'nowhere'],
      ['link', 'symlink', 's'],
    ],
    *run(d, type) {
      const fd = yield* opened(sys.socket(type));
      yield* sys.bind(fd, `${d}/s`);
      const answers: unknown[] = [yield* sys.probe(`${d}/s`), yield* sys.probe(`${d}/link`)];
      answers.push(yield* sys.listen(fd, 1), yield* sys.probe(`${d}/s`), yield* sys.close(fd));
      for (const name of ['s', 'link', 'file', 'directory', 'dangling', 'missing'])
        answers.push(yield* sys.probe(`${d}/${name}`));
      return answers;
    },
  },
  {
    everyType: true,
    name: 'connect → only to a listening stream socket',
    files: [['file', 'file', 'x']],
    *run(d, type) {
      const fd = yield* opened(sys.socket(type));
      const answers: unknown[] = [yield* talk.connect(`${d}/s`), yield* talk.connect(`${d}/file`)];
      yield* sys.bind(fd, `${d}/s`);
      answers.push(yield* talk.connect(`${d}/s`), yield* sys.listen(fd, 1));
      const connection = yield* talk.connect(`${d}/s`);
      if (typeof connection === 'number') yield* sys.close(connection);
      return [answers, typeof connection === 'number' || connection, yield* closed(fd), yield* talk.connect(`${d}/s`)];
    },
  },
  {
    everyType: true,
    name: 'listen on a socket that is not bound → EINVAL',
    *run(_d, type) {
      const fd = yield* opened(sys.socket(type));
      return [yield* sys.listen(fd, 1), yield* closed(fd)];
    },
  },
  {
    everyType: true,
    name: 'rename → NOREPLACE replaces nothing, a plain one does; the socket goes with its file',
    files: [['file', 'file', 'x']],
    *run(d, type) {
      const fd = yield* opened(sys.socket(type));
      yield* sys.bind(fd, `${d}/s`);
      const answers = [
        yield* sys.renameat2(AT_FDCWD, `${d}/s`, `${d}/file`, 'RENAME_NOREPLACE'),
        yield* sys.renameat2(AT_FDCWD, `${d}/s`, `${d}/t`, 'RENAME_NOREPLACE'),
      ];
      const probes = [
        yield* sys.probe(`${d}/s`),
        yield* sys.probe(`${d}/t`),
        yield* sys.renameat2(AT_FDCWD, `${d}/s`, `${d}/u`, 'RENAME_NOREPLACE'),
      ];
      const plain = [
        yield* sys.renameat2(AT_FDCWD, `${d}/file`, `${d}/t`, ''),
        yield* sys.renameat2(AT_FDCWD, `${d}/file`, `${d}/t`, ''),
        yield* sys.fstatat(AT_FDCWD, `${d}/t`),
      ];
      return [answers, probes, plain, yield* closed(fd)];
    },
  },
  {
    name: 'a file without a name → it can be locked and written, and gets its first name where there is none',
    files: [['file', 'file', 'x']],
    *run(d) {
      const directory = yield* opened(sys.openat(AT_FDCWD, d, 'O_PATH|O_DIRECTORY|O_CLOEXEC', 0));
      const fd = yield* opened(sys.openat(directory, '.', 'O_RDWR|O_TMPFILE|O_CLOEXEC', 0o600));
      const before = [yield* sys.fstat(fd), yield* sys.flock(fd, 'LOCK_EX|LOCK_NB'), yield* sys.pwrite(fd, 'text')];
      const from = `/proc/self/fd/${fd}`;
      const answers = [
        yield* sys.linkat(directory, from, 'file', 'AT_SYMLINK_FOLLOW'),
        yield* sys.linkat(directory, from, 'new', 'AT_SYMLINK_FOLLOW'),
      ];
      const other = yield* opened(sys.openat(directory, 'new', 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0));
      const after = [yield* sys.fstat(other), yield* sys.pread(other, 10), yield* sys.flock(other, 'LOCK_EX|LOCK_NB')];
      return [before, answers, after, yield* closed(fd), yield* closed(other), yield* closed(directory)];
    },
  },
  {
    name: 'two names of one inode → two links; a rename of one over the other changes nothing',
    files: [
      ['file', 'file', 'x'],
      ['other', 'file', 'y'],
    ],
    *run(d) {
      const answers = [
        yield* sys.linkat(AT_FDCWD, `${d}/file`, `${d}/second`),
        yield* sys.linkat(AT_FDCWD, `${d}/file`, `${d}/other`),
        yield* sys.linkat(AT_FDCWD, `${d}/missing`, `${d}/third`),
      ];
      const stats = [yield* sys.fstatat(AT_FDCWD, `${d}/file`), yield* sys.fstatat(AT_FDCWD, `${d}/second`)];
      const renames = [
        yield* sys.renameat2(AT_FDCWD, `${d}/file`, `${d}/second`, 'RENAME_NOREPLACE'),
        yield* sys.renameat2(AT_FDCWD, `${d}/file`, `${d}/second`, ''),
      ];
      return [answers, stats, renames, yield* sys.unlinkat(AT_FDCWD, `${d}/file`), yield* sys.fstatat(AT_FDCWD, `${d}/second`)];
    },
  },
  {
    name: 'unlink → a symlink itself, never a directory; an open file lives on with no link',
    files: [
      ['file', 'file', 'x'],
      ['directory', 'directory', ''],
      ['link', 'symlink', 'file'],
    ],
    *run(d) {
      const fd = yield* opened(sys.openat(AT_FDCWD, `${d}/file`, rdwr, 0));
      const answers = [yield* sys.fstatat(AT_FDCWD, `${d}/link`)].map((status) => (status as FileStatus).type);
      for (const name of ['link', 'file', 'directory', 'missing'])
        answers.push((yield* sys.unlinkat(AT_FDCWD, `${d}/${name}`)) as FileType);
      return [answers, yield* sys.fstat(fd), yield* sys.fstatat(AT_FDCWD, `${d}/file`), yield* closed(fd)];
    },
  },
  {
    everyType: true,
    name: 'open → each kind of file, with each combination of flags',
    files: [
      ['file', 'file', 'x'],
      ['directory', 'directory', ''],
      ['dangling', 'symlink', 'nowhere'],
      ['fifo', 'fifo', ''],
    ],
    *run(d, type) {
      const socket = yield* opened(sys.socket(type));
      yield* sys.bind(socket, `${d}/s`);
      const answers = [];
      for (const name of ['file', 'directory', 'dangling', 'fifo', 's', 'missing', 'missing/file']) {
        for (const flag of flags.filter((each) => each !== create || name !== 'missing')) {
          const fd = yield* sys.openat(AT_FDCWD, `${d}/${name}`, flag, 0o600);
          answers.push([name, flag, typeof fd === 'number' ? ((yield* sys.fstat(fd)) as FileStatus).type : fd]);
          if (typeof fd === 'number') yield* sys.close(fd);
        }
      }
      const made = yield* opened(sys.openat(AT_FDCWD, `${d}/missing`, create, 0o1666));
      return [answers, yield* sys.fstat(made), yield* closed(made, socket)];
    },
  },
  {
    name: 'flock → one description at a time; it is free again when that is closed',
    files: [['file', 'file', 'x']],
    *run(d) {
      const [a, b] = [
        yield* opened(sys.openat(AT_FDCWD, `${d}/file`, rdwr, 0)),
        yield* opened(sys.openat(AT_FDCWD, `${d}/file`, rdonly, 0)),
      ];
      const answers = [
        yield* sys.flock(a, 'LOCK_EX|LOCK_NB'),
        yield* sys.flock(a, 'LOCK_EX|LOCK_NB'),
        yield* sys.flock(b, 'LOCK_EX|LOCK_NB'),
      ];
      return [
        ...answers,
        yield* sys.close(a),
        yield* sys.flock(b, 'LOCK_EX|LOCK_NB'),
        yield* closed(b),
        yield* sys.flock(b, 'LOCK_EX|LOCK_NB'),
      ];
    },
  },
  {
    name: 'a locked file is unlinked and made anew → the new one can be locked as well, and is another inode',
    *run(d) {
      const a = yield* opened(sys.openat(AT_FDCWD, `${d}/lock`, create, 0o600));
      yield* sys.flock(a, 'LOCK_EX|LOCK_NB');
      yield* sys.unlinkat(AT_FDCWD, `${d}/lock`);
      const b = yield* opened(sys.openat(AT_FDCWD, `${d}/lock`, create, 0o600));
      return [
        yield* sys.flock(b, 'LOCK_EX|LOCK_NB'),
        yield* sys.fstat(a),
        yield* sys.fstat(b),
        yield* sys.fstatat(AT_FDCWD, `${d}/lock`),
        yield* closed(a, b),
      ];
    },
  },
  {
    name: 'pwrite, pread and ftruncate → from the start of the file',
    *run(d) {
      const fd = yield* opened(sys.openat(AT_FDCWD, `${d}/file`, create, 0o600));
      const answers: unknown[] = [
        yield* sys.pread(fd, 10),
        yield* sys.pwrite(fd, 'abcdef'),
        yield* sys.pwrite(fd, 'xy'),
        yield* sys.pread(fd, 4),
      ];
      answers.push(
        yield* sys.ftruncate(fd, 3),
        yield* sys.pread(fd, 10),
        yield* sys.fstat(fd),
        yield* sys.ftruncate(fd, 4),
        yield* sys.pread(fd, 10),
      );
      return [answers, yield* closed(fd), yield* sys.pread(fd, 1), yield* sys.pwrite(fd, 'x'), yield* sys.fstat(fd)];
    },
  },
  {
    name: 'mmap → text over the whole file, which keeps its length',
    *run(d) {
      const fd = yield* opened(sys.openat(AT_FDCWD, `${d}/file`, create, 0o600));
      const answers: unknown[] = [yield* sys.mmap(fd, ''), yield* sys.mmap(fd, 'x'), yield* sys.pwrite(fd, 'abcdef')];
      answers.push(yield* sys.mmap(fd, 'xy'), yield* sys.pread(fd, 10), yield* sys.mmap(fd, 'abcdefg'), yield* sys.mmap(fd, ''));
      answers.push(yield* sys.pread(fd, 10), yield* sys.fstat(fd));
      return [answers, yield* closed(fd), yield* sys.mmap(fd, 'x')];
    },
  },
  {
    everyType: true,
    name: 'sock_diag → the inode of the bound file, wherever that is',
    files: [['file', 'file', 'x']],
    *run(d, type) {
      const fd = yield* opened(sys.socket(type));
      const unbound = yield* sys.sock_diag(fd);
      yield* sys.bind(fd, `${d}/s`);
      const [first, status] = [yield* sys.sock_diag(fd), yield* sys.fstatat(AT_FDCWD, `${d}/s`)];
      yield* sys.renameat2(AT_FDCWD, `${d}/s`, `${d}/t`, 'RENAME_NOREPLACE');
      const renamed = yield* sys.sock_diag(fd);
      yield* sys.unlinkat(AT_FDCWD, `${d}/t`);
      return [typeof unbound, first, status, renamed, yield* sys.sock_diag(fd), yield* closed(fd)];
    },
  },
  {
    everyType: true,
    name: 'an open socket pins its inode → no later file has its number',
    *run(d, type) {
      const numbers = [];
      const first = yield* opened(sys.socket(type));
      yield* sys.bind(first, `${d}/s`);
      numbers.push(yield* sys.fstatat(AT_FDCWD, `${d}/s`), yield* sys.unlinkat(AT_FDCWD, `${d}/s`));
      for (let i = 0; i < 3; i++) {
        const next = yield* opened(sys.socket(type));
        yield* sys.bind(next, `${d}/s`);
        numbers.push(yield* sys.fstatat(AT_FDCWD, `${d}/s`), yield* sys.unlinkat(AT_FDCWD, `${d}/s`));
        numbers.push(((yield* sys.sock_diag(next)) as FileStatus).ino === ((yield* sys.sock_diag(first)) as FileStatus).ino);
        yield* sys.close(next);
      }
      // The later ones may have each other's number, or not: only the first one's is compared.
      const [pinned, ...others] = numbers.filter((number) => typeof number === 'object');
      return [
        others.map(({ ino }) => ino === pinned!.ino),
        numbers.filter((number) => typeof number !== 'object'),
        yield* closed(first),
      ];
    },
  },
  {
    everyType: true,
    name: 'an abstract name → one socket at a time; nothing of it is left',
    *run(d, type) {
      const name = `\0${d}/abstract`;
      const [a, b] = [yield* opened(sys.socket(type)), yield* opened(sys.socket(type))];
      const answers = [
        yield* sys.probe(name),
        yield* sys.bind(a, name),
        yield* sys.bind(b, name),
        yield* sys.probe(name),
        yield* sys.listen(a, 1),
      ];
      return [...answers, yield* sys.close(a), yield* sys.probe(name), yield* sys.bind(b, name), yield* closed(b)];
    },
  },
  {
    everyType: true,
    name: 'a path through /proc/self/fd → the very file of the descriptor, whatever has the name now',
    *run(d, type) {
      const fd = yield* opened(sys.socket(type));
      yield* sys.bind(fd, `${d}/s`);
      const file = yield* opened(sys.openat(AT_FDCWD, `${d}/s`, path, 0));
      yield* sys.renameat2(AT_FDCWD, `${d}/s`, `${d}/t`, 'RENAME_NOREPLACE');
      const answers = [
        yield* sys.fchmodat(file, '', 0o640),
        yield* sys.probe(`/proc/self/fd/${file}`),
        yield* sys.fstatat(AT_FDCWD, `${d}/t`),
      ];
      return [answers, yield* closed(file, fd)];
    },
  },
  {
    everyType: true,
    name: 'two types on one path → the first keeps it, and is live to every start',
    *run(d, type) {
      const first = yield* opened(sys.socket(type));
      const answers: unknown[] = [yield* sys.bind(first, `${d}/s`)];
      for (const other of socketTypes) {
        const fd = yield* opened(sys.socket(other));
        answers.push(yield* sys.socketType(fd), yield* sys.bind(fd, `${d}/s`), yield* sys.probe(`${d}/s`), yield* sys.close(fd));
      }
      return [answers, yield* closed(first), yield* sys.probe(`${d}/s`)];
    },
  },
  {
    everyType: true,
    name: 'one abstract name, each type → an address for each',
    *run(d, type) {
      const name = `\0${d}/types`;
      const first = yield* opened(sys.socket(type));
      const answers = [yield* sys.bind(first, name)];
      const fds = [];
      for (const other of socketTypes) {
        const fd = yield* opened(sys.socket(other));
        fds.push(fd);
        answers.push(yield* sys.bind(fd, name));
      }
      return [answers, yield* closed(first, ...fds)];
    },
  },
  {
    name: 'the type of a descriptor that is no socket, or is not open → refused',
    files: [['file', 'file', 'x']],
    *run(d) {
      const fd = yield* opened(sys.openat(AT_FDCWD, `${d}/file`, rdwr, 0));
      return [yield* sys.socketType(fd), yield* closed(fd), yield* sys.socketType(fd)];
    },
  },
  {
    name: 'realpath → of a directory, or ENOENT',
    files: [['directory', 'directory', '']],
    *run(d) {
      return [yield* sys.realpath(`${d}/directory`), yield* sys.realpath(`${d}/directory/`), yield* sys.realpath(`${d}/missing`)];
    },
  },
];

/** Returns the descriptor that a call gave. The scenario makes sense only with a descriptor. */
function* opened(call: Conversation<number | string>): Conversation<number> {
  const fd = yield* call;
  if (typeof fd !== 'number') throw new Error(`this was to succeed: ${fd}`);
  return fd;
}

function* closed(...fds: readonly number[]): Conversation<unknown> {
  const answers = [];
  for (const fd of fds) answers.push(yield* sys.close(fd));
  return answers;
}
