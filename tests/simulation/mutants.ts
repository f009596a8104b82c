import type { SocketType } from '#dist/address/socketType.js';
import type { Edit } from './mutate.js';
import type { Guarantee } from './guarantees.js';

/**
 * The protocol without one of its checks, the guarantee that breaks, and the scenario in which it
 * does.
 */
export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  readonly caughtBy: Guarantee['name'];
  /** 1 unless said. */
  readonly processes?: number;
  /** The letters of the outsiders (`outsiders.ts`). */
  readonly with: string;
  readonly flockErrno?: 'ENOLCK';
  /** The type of the socket that is claimed: a stream unless said. */
  readonly type?: SocketType;
}

export const mutants: readonly Mutant[] = [
  {
    name: 'the lock is not taken',
    edits: [{ file: 'lock', from: 'const locked = yield* flock(place, fd, wait);', to: `const locked = 'locked';` }],
    caughtBy: 'G2',
    processes: 2,
    with: '',
  },
  {
    name: 'inodes are not compared after the lock',
    edits: [
      {
        file: 'lock',
        from: 'const named = yield* sys.fstatat(place.lock.directory.fd, place.lock.name);',
        to: 'const named = opened;',
      },
    ],
    caughtBy: 'G2',
    processes: 2,
    with: 'L',
  },
  {
    name: 'any failure of flock counts as held',
    edits: [{ file: 'lock', from: `if (locked !== 'EAGAIN')`, to: 'if (false)' }],
    caughtBy: 'G2',
    with: '',
    flockErrno: 'ENOLCK',
  },
  {
    name: 'the type is not looked at before the probe',
    edits: [
      { file: 'removeIf', from: `    if (status.type !== 'socket')\n        return 'not-a-socket';\n    const`, to: '    const' },
    ],
    caughtBy: 'G4',
    with: 'R',
  },
  {
    name: 'a live socket counts as dead',
    edits: [
      {
        file: 'removeIf',
        from: `    if (liveness === 'live')\n        return 'live';`,
        to: `    if (liveness === 'live')\n        return 'proved';`,
      },
    ],
    caughtBy: 'G4',
    with: 'S',
  },
  {
    name: 'the probe is a connection of a stream socket',
    edits: [
      {
        file: 'probe',
        from: '(name) => sys.probe(name)',
        to: `function* (name) { const fd = yield { name: 'connect', args: [name] }; if (failed(fd)) return fd; yield* sys.close(fd); return 'EPROTOTYPE'; }`,
      },
    ],
    caughtBy: 'G4',
    processes: 2,
    with: '',
  },
  {
    name: 'the stale socket is looked for before bind',
    edits: [
      {
        file: 'bindUnderLock',
        from: 'const bound = yield* bindName(place, fd);',
        to: 'yield* removeIf(place, isDead);\nconst bound = yield* bindName(place, fd);',
      },
    ],
    caughtBy: 'G4',
    with: 'S',
  },
  {
    name: 'the stale socket is unlinked without being set aside',
    edits: [
      {
        file: 'bindUnderLock',
        from: 'const removal = yield* removeIf(place, isDead);',
        to: `const there = yield* sys.fstatat(place.directory.fd, place.name);
        const verdict = failed(there) ? 'gone' : yield* isDead(place, there);
        const removal = verdict === 'proved' ? { outcome: 'removed', done: yield* sys.unlinkat(place.directory.fd, place.name) } : verdict === 'gone' ? { outcome: 'gone' } : { outcome: 'kept', why: verdict };`,
      },
    ],
    caughtBy: 'G4',
    with: 'T',
  },
  {
    name: 'a release unlinks without setting aside',
    edits: [
      {
        file: 'release',
        from: 'return removeIf(place, isInode(identity));',
        to: `return (function* () {
        const there = yield* sys.fstatat(place.directory.fd, place.name);
        const ours = typeof there !== 'string' && (yield* isInode(identity)(place, there)) === 'proved';
        return ours ? { outcome: 'removed', done: yield* sys.unlinkat(place.directory.fd, place.name) } : { outcome: 'kept', why: 'another-inode' };
    })();`,
      },
    ],
    caughtBy: 'G4',
    with: 'T',
  },
  {
    name: 'what was set aside is not proved again',
    edits: [
      {
        file: 'removeIf',
        from: 'const second = failed(set) ? { errno: set } : yield* proof(aside, set);',
        to: `const second = 'proved';`,
      },
    ],
    caughtBy: 'G4',
    with: 'T',
  },
  {
    name: 'setting aside replaces what is aside',
    edits: [
      {
        file: 'removeIf',
        from: `sys.renameat2(directory.fd, name, aside.name, 'RENAME_NOREPLACE')`,
        to: `sys.renameat2(directory.fd, name, aside.name, '')`,
      },
    ],
    caughtBy: 'G4',
    with: 'RT',
  },
  {
    name: 'putting back replaces what has the name now',
    edits: [
      {
        file: 'removeIf',
        from: `sys.renameat2(directory.fd, aside.name, name, 'RENAME_NOREPLACE')`,
        to: `sys.renameat2(directory.fd, aside.name, name, '')`,
      },
    ],
    caughtBy: 'G4',
    with: 'TS',
  },
  {
    name: 'what a crash left aside is forgotten',
    edits: [{ file: 'bindUnderLock', from: 'const refused = yield* recoverAside(place);', to: 'const refused = undefined;' }],
    caughtBy: 'G3',
    with: '',
  },
  {
    name: 'what a crash left aside is unlinked unseen',
    edits: [{ file: 'bindUnderLock', from: `const verdict = yield* isDead(aside, there);`, to: `const verdict = 'proved';` }],
    caughtBy: 'G4',
    with: 'T',
  },
  {
    name: 'what a crash left aside is not put back',
    edits: [{ file: 'bindUnderLock', from: 'yield* putBack(place);', to: 'undefined;' }],
    caughtBy: 'G3',
    with: 'T',
  },
  {
    name: 'the bound inode is not asked of the kernel',
    edits: [{ file: 'bindUnderLock', from: 'isFileOf(bound, named) === false', to: 'false' }],
    caughtBy: 'G2',
    with: 'T',
  },
  {
    name: 'a release does not compare the inode',
    edits: [
      {
        file: 'removeIf',
        from: 'prove(status, status.ino === ours.ino && status.dev === ours.dev)',
        to: 'prove(status, true)',
      },
    ],
    caughtBy: 'G4',
    with: 'T',
  },
  {
    name: 'a release closes the socket before it unlinks',
    edits: [
      {
        file: 'release',
        from: `    const removal = yield* removeSocketFile(place, claim);\n    yield* sys.close(claim.listenFd);`,
        to: `    yield* sys.close(claim.listenFd);\n    const removal = yield* removeSocketFile(place, claim);`,
      },
    ],
    caughtBy: 'G4',
    with: 'T',
  },
  {
    name: 'a release closes the lock first',
    edits: [
      {
        file: 'release',
        from: `    const removal = yield* removeSocketFile(place, claim);\n    yield* sys.close(claim.listenFd);\n    yield* unlock(place, claim);`,
        to: `    yield* unlock(place, claim);\n    const removal = yield* removeSocketFile(place, claim);\n    yield* sys.close(claim.listenFd);`,
      },
    ],
    caughtBy: 'G3',
    with: '',
  },
  {
    name: 'the mode is set after bind',
    edits: [{ file: 'bindUnderLock', from: 'yield* sys.fchmod(fd, withSticky(place, modeBefore));', to: ';' }],
    caughtBy: 'G6',
    with: '',
  },
  {
    name: 'a datagram socket, which takes the connection of the probe, counts as dead',
    edits: [{ file: 'probe', from: '        case 0:', to: `        case 0: return 'dead';` }],
    caughtBy: 'G4',
    with: 'D',
  },
  {
    name: 'a socket of another type than the one of the probe counts as dead',
    edits: [{ file: 'probe', from: `        case 'EPROTOTYPE':`, to: `        case 'EPROTOTYPE': return 'dead';` }],
    caughtBy: 'G4',
    with: 'S',
    type: 'datagram',
  },
  {
    name: 'every socket is a stream',
    edits: [{ file: 'bindUnderLock', from: 'sys.socket(terms.type)', to: 'sys.socket()' }],
    caughtBy: 'G2',
    with: '',
    type: 'datagram',
  },
  {
    name: 'a datagram socket is made to listen',
    edits: [{ file: 'bindUnderLock', from: 'if (!hasConnections(type) || listens === false)', to: 'if (listens === false)' }],
    caughtBy: 'G3',
    with: '',
    type: 'datagram',
  },
  {
    name: 'only a stream socket is made to listen',
    edits: [{ file: 'bindUnderLock', from: 'if (!hasConnections(type) ||', to: "if (type !== 'stream' ||" }],
    caughtBy: 'G2',
    with: '',
    type: 'seqpacket',
  },
  {
    name: 'a refused start keeps its lock',
    edits: [{ file: 'acquire', from: `        yield* sys.close(lockFd);\n        return bound;`, to: '        return bound;' }],
    caughtBy: 'G8',
    with: 'S',
  },
];
