import type * as acquiring from '#dist/claim/acquire.js';
import type * as placing from '#dist/claim/place.js';
import type { Place } from '#dist/claim/place.js';
import { isRefusal } from '#dist/claim/refusal.js';
import type * as releasing from '#dist/claim/release.js';
import { AT_FDCWD, sys, type Conversation, type SystemCall } from '#dist/kernel/kernel.js';
import { cleanRelease, nothingLost, type Guarantee, type Moment, type Step } from './guarantees.js';
import type { Scheme } from './lives.js';
import type { Scenario } from './machine.js';
import { outsider } from './outsiders.js';
import { directory, scenario, terms, type Cast } from './scenarios.js';
import { firstFd, has, openAt, putFile, socketBoundTo, type World } from './world.js';

const [away, other] = ['/away', '/other'];

/**
 * The actions of an outsider on the directory, which it may rename: others' files are in the one
 * that it puts in its place.
 */
export const exchanges = {
  'another directory in its place': [
    ['renameat2', AT_FDCWD, directory, away, ''],
    ['renameat2', AT_FDCWD, other, directory, ''],
  ],
  'a symlink in its place': [
    ['renameat2', AT_FDCWD, directory, away, ''],
    ['symlink', other, directory],
  ],
  'another directory in its place, and back': [
    ['renameat2', AT_FDCWD, directory, away, ''],
    ['renameat2', AT_FDCWD, other, directory, ''],
    ['renameat2', AT_FDCWD, directory, other, ''],
    ['renameat2', AT_FDCWD, away, directory, ''],
  ],
} as const;

function* exchange(calls: readonly (readonly [string, ...unknown[]])[]): Conversation<void> {
  for (const [name, ...args] of calls) yield { name, args } as unknown as SystemCall;
}

/** The code of a claim: that of production, or of a mutant. */
export interface Code {
  readonly acquire: typeof acquiring.acquire;
  readonly release: typeof releasing.release;
  readonly resolve: typeof placing.resolve;
  readonly placeIn: typeof placing.placeIn;
}

/**
 * A start resolves its path, as production does; a refused one closes the directory again, and so
 * does a release.
 */
export function resolving({ acquire, release, resolve, placeIn }: Code): Scheme {
  return {
    *start() {
      const target = yield* resolve({ kind: 'pathname', path: `${directory}/app.sock` });
      if (isRefusal(target) || 'abstract' in target) return target;
      const claim = yield* acquire(target.place, terms);
      if (isRefusal(claim)) yield* sys.close(target.place.directory.fd);
      return claim;
    },
    *release(_place, claim) {
      // The first descriptor of a process here is that of the directory.
      const pinned = { fd: firstFd, path: directory, through: `/proc/self/fd/${firstFd}` };
      yield* release(placeIn({ directory: pinned, name: 'app.sock' }) as Place, claim);
      yield* sys.close(firstFd);
    },
  };
}

/**
 * Processes that resolve their path, and an outsider that exchanges the directory. `theirs`: what
 * has the name in the other one.
 */
export function exchangeScenario(
  kind: keyof typeof exchanges,
  code: Code,
  cast: Pick<Cast, 'processes' | 'starts'>,
  theirs?: 'socket' | 'file',
): Scenario {
  const before = (empty: World): World => {
    const both = putFile(empty, other, 'directory');
    return theirs === undefined ? both : putFile(both, `${other}/app.sock`, theirs);
  };
  const scheme = resolving(code);
  const guarantees = [
    onlyPinned,
    oneHolderEach,
    nothingLost,
    cleanRelease,
    ...(kind.endsWith('back') ? [] : [nothingLeft(theirs === 'socket' ? 1 : 0)]),
  ];
  const alone = scenario(kind, { ...cast, releases: true, crashes: false, scheme, before }, { guarantees });
  const outside = { letter: 'X', life: outsider(`exchange: ${kind}`, () => exchange(exchanges[kind])) };
  const world = { ...alone.world, descriptors: [...alone.world.descriptors, []] };
  return { ...alone, world, processes: [...alone.processes, outside] };
}

/**
 * G4: a process changes no name in another directory than its own, but for that of its own socket.
 */
const onlyPinned: Guarantee = {
  name: 'G4',
  inStep(step) {
    const { world, after, mover, standings, call } = step;
    if (standings[mover]!.role !== 'reuseaddr') return undefined;
    for (const path of new Set([...Object.keys(world.names), ...Object.keys(after.names)])) {
      if (world.names[path] === after.names[path] || directoryOf(step, path) === openAt(world, mover, firstFd)?.ino) continue;
      const socket = socketBoundTo(world, world.names[path] ?? after.names[path]!);
      if (call?.name === 'bind' || (socket !== undefined && has(world, mover, socket))) continue;
      return `process ${mover} changes ${path}, in a directory that is not its own`;
    }
    return undefined;
  },
};

function directoryOf({ world }: Step, path: string): number | undefined {
  return world.names[path.slice(0, path.lastIndexOf('/'))];
}

/** G1 for each directory. */
const oneHolderEach: Guarantee = {
  name: 'G1',
  inMoment({ world, standings }) {
    const held = standings.flatMap(({ doing }, process) => (doing === 'holding' ? [openAt(world, process, firstFd)?.ino] : []));
    return new Set(held).size < held.length ? 'two processes hold the address of one directory' : undefined;
  },
};

/** G5: when all is over, no more socket files are left than there were. */
function nothingLeft(before: number): Guarantee {
  return {
    name: 'G5',
    inMoment({ world, standings }: Moment) {
      if (standings.some(({ doing }) => doing !== 'done' && doing !== 'meddling')) return undefined;
      const left = Object.entries(world.names).filter(([, ino]) => world.inodes[ino]!.type === 'socket');
      return left.length > before ? `${left.map(([path]) => path).join(' and ')} are left` : undefined;
    },
  };
}
