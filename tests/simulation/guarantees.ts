import type { Place } from '#dist/claim/place.js';
import type { SystemCall } from '#dist/kernel/kernel.js';
import type { Past, Standing } from './process.js';
import { openAt, firstFd, has, hasLocked, isServing, socketAt, socketBoundTo, type World } from './world.js';

/** A state, as the guarantees see it. */
export interface Moment {
  readonly world: World;
  readonly place: Place;
  /** The history of each process. */
  readonly standings: readonly Standing[];
  readonly pasts: readonly (readonly Past[])[];
}

/** A step: the moment before it, who made which call, and the world after it. */
export interface Step extends Moment {
  readonly mover: number;
  readonly call: SystemCall | undefined;
  readonly after: World;
}

/** The invariants. Each check returns a sentence that says what is wrong, or undefined. */
export interface Guarantee {
  readonly name: 'G1' | 'G2' | 'G3' | 'G4' | 'G5' | 'G6' | 'G8';
  readonly inMoment?: (moment: Moment) => string | undefined;
  readonly inStep?: (step: Step) => string | undefined;
  /**
   * The result of a fresh start that runs alone to its end. `before`: the world in which it began.
   */
  readonly afterFreshStart?: (outcome: FreshStart) => string | undefined;
}

export interface FreshStart {
  readonly place: Place;
  /** The programs that were left as they were meanwhile: they know nothing of the lock. */
  readonly outsiders: readonly number[];
  readonly after: World;
  readonly process: number;
  readonly outcome: unknown;
}

/** The permission bits that every process of the simulation asks for. */
export const askedMode = 0o600;

/**
 * G1: at most one process is reachable, or believes that it is. One that can see that it has lost
 * the address counts no more.
 */
export const oneHolder: Guarantee = {
  name: 'G1',
  inMoment(moment) {
    const owners = moment.standings.flatMap((standing, process) => {
      if (standing.role !== 'reuseaddr') return [];
      return isReachable(moment, process) || (standing.doing === 'holding' && !canTell(moment, process)) ? [process] : [];
    });
    return owners.length > 1 ? `processes ${owners.join(' and ')} both have the address` : undefined;
  },
};

/**
 * G2: a holder stays reachable; no start takes its name; and if another program does, the holder
 * can tell.
 */
export const noTheft: Guarantee = {
  name: 'G2',
  inMoment(moment) {
    const alone = moment.standings.every(({ role }) => role === 'reuseaddr');
    for (const [process, { doing, claim }] of moment.standings.entries()) {
      if (doing !== 'holding' || claim === undefined) continue;
      const socket = openAt(moment.world, process, claim.listenFd);
      if (socket?.ino !== Number(claim.identity.ino)) return `process ${process} takes another file for its own`;
      if (isReachable(moment, process)) continue;
      if (alone) return `process ${process} holds the claim and is not reachable`;
      if (!canTell(moment, process)) return `process ${process} has lost the address and cannot tell`;
    }
    return undefined;
  },
  inStep(step) {
    const { world, after, place, mover, standings } = step;
    if (standings[mover]!.role !== 'reuseaddr') return undefined;
    const victim = standings.findIndex((_standing, process) => process !== mover && isReachable(step, process));
    const taken = victim >= 0 && world.names[place.path] !== after.names[place.path];
    return taken ? `process ${mover} takes the name of process ${victim}` : undefined;
  },
};

/**
 * G3: if no other process starts or holds, a start succeeds. It may be refused only because of a
 * file or a live socket that is not ours, and which it leaves at the path.
 */
export const alwaysRestarts: Guarantee = {
  name: 'G3',
  afterFreshStart({ place, after, process, outcome, outsiders }) {
    const foreign = (path: string): boolean => isForeign(after, path, outsiders);
    if (foreign(place.asidePath) && after.names[place.path] === undefined)
      return 'a file of another program stays aside for no reason';
    if (isClaim(outcome)) {
      const socket = socketAt(after, place.path);
      const reached = socket !== undefined && isServing(socket) && has(after, process, socket);
      return reached ? undefined : 'a fresh start succeeds, but is not reachable';
    }
    const why = JSON.stringify(outcome);
    // Two outsiders' files, and a dead socket in between: nothing of theirs may be removed, so a
    // human has to choose.
    const hindered = after.flockErrno !== undefined || foreign(place.path) || foreign(place.asidePath);
    return hindered ? undefined : `a fresh start is refused: ${why}`;
  },
};

/**
 * G4: nothing is unlinked or replaced but a dead socket, or one's own. No listener ever sees a
 * connection of ours.
 */
export const nothingLost: Guarantee = {
  name: 'G4',
  inMoment({ world }) {
    const visited = world.open.some((open) => open.kind === 'socket' && open.visited);
    return visited ? 'a listener got a connection from a start' : undefined;
  },
  inStep(step) {
    const { world, mover, standings } = step;
    if (standings[mover]!.role !== 'reuseaddr') return undefined;
    for (const [path, ino] of lostNames(step)) {
      if (path === step.place.lockPath && hasLocked(world, mover, ino)) continue;
      if (world.inodes[ino]!.type !== 'socket') return `process ${mover} removes ${path}, a ${world.inodes[ino]!.type}`;
      const socket = socketBoundTo(world, ino);
      if (socket && !has(world, mover, socket)) return `process ${mover} removes ${path}, which has a live socket`;
    }
    return undefined;
  },
};

/**
 * G4, where no program removes or replaces the name without asking: a stray is not even moved aside
 * for a moment. (Elsewhere it may be: it took the place of a stale socket just before that was set
 * aside. Then it gets its name back.)
 */
export const strayUndisturbed: Guarantee = {
  name: 'G4',
  inStep({ world, after, place: { path }, mover, standings }) {
    const socket = standings[mover]!.role === 'reuseaddr' ? socketAt(world, path) : undefined;
    const moved = socket !== undefined && !has(world, mover, socket) && world.names[path] !== after.names[path];
    return moved ? `process ${mover} moves a live socket` : undefined;
  },
};

/** G5: a release removes only the inode that its socket is bound to, and only under the lock. */
export const cleanRelease: Guarantee = {
  name: 'G5',
  inStep(step) {
    const { world, mover, standings } = step;
    const { claim, doing } = standings[mover]!;
    if (claim === undefined || (doing !== 'holding' && doing !== 'releasing')) return undefined;
    for (const [path, ino] of lostNames(step)) {
      const lock = openAt(world, mover, claim.lockFd);
      if (lock?.kind !== 'file' || !lock.locked) return `process ${mover} removes ${path} without the lock`;
      if (path === step.place.lockPath && lock.ino === ino) continue;
      if (openAt(world, mover, claim.listenFd)?.ino !== ino) return `process ${mover} removes ${path}, which is not its own`;
    }
    return undefined;
  },
};

/** G6: the socket file never has wider permissions than asked. */
export const neverWider: Guarantee = {
  name: 'G6',
  inMoment({ world, standings }) {
    const wide = world.open.find(
      (open) => open.kind === 'socket' && open.ino !== 0 && (world.inodes[open.ino]!.mode & 0o777 & ~askedMode) !== 0,
    );
    if (!wide) return undefined;
    const owner = standings.findIndex(({ role }, process) => role === 'reuseaddr' && has(world, process, wide));
    return owner < 0 ? undefined : `the socket of process ${owner} has mode ${world.inodes[wide.ino]!.mode.toString(8)}`;
  },
};

/** G8: a process that holds nothing has nothing open, and a holder no more than its claim. */
export const nothingLeftOpen: Guarantee = {
  name: 'G8',
  inMoment({ world, standings }) {
    for (const [process, { role, doing, claim }] of standings.entries()) {
      const open = world.descriptors[process]!.flatMap((index, i) => (index < 0 ? [] : [i + firstFd]));
      const known = doing === 'holding' && claim ? [claim.lockFd, claim.listenFd] : [];
      const settled = role === 'reuseaddr' && (doing === 'idle' || doing === 'done' || doing === 'holding');
      if (settled && open.some((fd) => !known.includes(fd)))
        return `process ${process} is ${doing} with descriptors ${open.join(', ')}`;
    }
    return undefined;
  },
};

export const allGuarantees: readonly Guarantee[] = [
  oneHolder,
  noTheft,
  alwaysRestarts,
  nothingLost,
  cleanRelease,
  neverWider,
  nothingLeftOpen,
];

/**
 * When each has come to its end, and none was killed, no lock file is left. Only for schemes that
 * remove it.
 */
export const leavesNoLockFile: Guarantee = {
  name: 'G5',
  inMoment: ({ standings, world, place }) =>
    standings.every(({ role, doing }) => role === 'reuseaddr' && doing === 'done') && place.lockPath in world.names
      ? 'a lock file is left'
      : undefined,
};

/** Whether a client that connects to the path reaches this process. */
export function isReachable({ world, place, standings }: Moment, process: number): boolean {
  const socket = socketAt(world, place.path);
  return standings[process]!.role === 'reuseaddr' && socket !== undefined && isServing(socket) && has(world, process, socket);
}

/**
 * Whether a holder that looks at the path and at the lock file sees that they are not its own any
 * more.
 */
function canTell({ world, place, standings }: Moment, process: number): boolean {
  const { lockFd, identity } = standings[process]!.claim!;
  const named = world.names[place.path];
  if (named === undefined || named !== Number(identity.ino) || world.inodes[named]!.type !== 'socket') return true;
  return lockFd >= 0 && openAt(world, process, lockFd)?.ino !== world.names[place.lockPath];
}

/**
 * The names by which inodes lose a link in this step. A rename loses none, unless it replaces
 * something.
 */
function lostNames({ world, after }: Step): (readonly [path: string, ino: number])[] {
  const links = (names: World['names'], wanted: number): number => Object.values(names).filter((ino) => ino === wanted).length;
  return Object.entries(world.names).filter(
    ([path, ino]) => after.names[path] !== ino && links(after.names, ino) < links(world.names, ino),
  );
}

/**
 * Whether there is something at the path that only an outsider may remove: no socket, or a live one
 * of an outsider.
 */
function isForeign(world: World, path: string, outsiders: readonly number[]): boolean {
  const ino = world.names[path];
  if (ino === undefined) return false;
  if (world.inodes[ino]!.type !== 'socket') return true;
  const socket = socketBoundTo(world, ino);
  return socket !== undefined && outsiders.some((process) => has(world, process, socket));
}

export function isClaim(
  outcome: unknown,
): outcome is { lockFd: number; listenFd: number; identity: { dev: bigint; ino: bigint } } {
  return typeof outcome === 'object' && outcome !== null && 'listenFd' in outcome;
}
