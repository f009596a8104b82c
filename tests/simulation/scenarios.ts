import type { SocketType } from '#dist/address/socketType.js';
import { acquire } from '#dist/claim/acquire.js';
import type { Terms } from '#dist/claim/bindUnderLock.js';
import type { Place } from '#dist/claim/place.js';
import { cleaningRecord } from '#dist/claim/record.js';
import { release } from '#dist/claim/release.js';
import { removeStale } from '#dist/claim/removeStale.js';
import type { SystemCall } from '#dist/kernel/kernel.js';
import { placeByPath } from './placeByPath.js';
import { allGuarantees, askedMode, type Moment } from './guarantees.js';
import { cleaner, life, type LifeOptions, type Scheme } from './lives.js';
import type { Scenario } from './machine.js';
import { keyOf } from './numbers.js';
import { otherPath, outsiders } from './outsiders.js';
import { emptyWorld, hasLock, putFile, type World } from './world.js';

export const directory = '/run';

export const place: Place = placeByPath(directory, 'app.sock');

/** No record: it is for people, no decision rests on it, and each state would come twice. */
export const terms: Terms = { mode: askedMode, backlog: 1, record: '' };

export const production: Scheme = { key: 'reuseaddr', start: () => acquire(place, terms), release };

/**
 * The record of `clean` in the lock file while it holds the lock; for starts, it only decides how
 * long they rest.
 */
export const cleanersRecord = cleaningRecord('{"reuseaddr":1,}\n');

/** The same for another type of socket. */
export function typed(type: SocketType): Scheme {
  return { name: type, start: () => acquire(place, { ...terms, type }), release };
}

/** The same, and `clean`. */
export const withClean: Scheme = {
  ...production,
  clean: (cleaned) => removeStale({ place: cleaned, guards: [cleaned], record: cleanersRecord }),
};

/** The same with a record in the lock file, to see that this is so. */
export const productionWithRecord: Scheme = {
  start: () => acquire(place, { ...terms, record: '{"reuseaddr":1,"pid":1}\n' }),
  release,
};

/** The same, but a start waits for a lock that is taken. */
export const standby: Scheme = { key: 'standby', start: () => acquire(place, terms, true), release };

export interface Cast extends LifeOptions {
  /** How many processes use the scheme: A, B, C, D. */
  readonly processes: number;
  /** How many processes clean the address: V, W. */
  readonly cleaners?: 0 | 1 | 2;
  /** How often each of them does so: 2 unless said. */
  readonly cleanings?: 1 | 2;
  /** The letters of the outsiders that take part. */
  readonly with?: string;
  readonly scheme?: Scheme;
  /** The schemes of the processes, if they differ. */
  readonly schemes?: readonly Scheme[];
  /**
   * The files that are there before. By default a socket file that a server left when it crashed.
   */
  readonly before?: (world: World) => World;
}

/** The number of processes that use a scheme, and the outsiders. */
export function scenario(name: string, cast: Cast, more: Partial<Scenario> = {}): Scenario {
  const scheme = cast.scheme ?? production;
  const own = Array.from({ length: cast.processes }, (_, i) => ({
    letter: 'ABCD'[i]!,
    life: life(cast.schemes?.[i] ?? scheme, place, cast),
  }));
  const cleaners = Array.from({ length: cast.cleaners ?? 0 }, (_, i) => ({
    letter: 'VW'[i]!,
    life: cleaner(scheme, place, cast.cleanings),
  }));
  const processes = [...own, ...cleaners, ...outsiders(place, cast.with ?? '')];
  const empty = emptyWorld(directory, processes.length);
  const world = (cast.before ?? staleSocket)(empty);
  return {
    name,
    place,
    world,
    processes,
    alike: cast.schemes ? 1 : cast.processes,
    guarantees: allGuarantees,
    freshStart: () => scheme.start(place),
    ...(!cast.schemes && settingOf(cast, scheme, empty, world)),
    ...more,
  };
}

/**
 * The explorer's form of the same scenario, if it can show it: it has no mutants, no slow deaths,
 * and two worlds to begin with.
 */
function settingOf(cast: Cast, { key }: Scheme, empty: World, world: World): Pick<Scenario, 'setting'> | undefined {
  const stale = keyOf(world) === keyOf(staleSocket(empty));
  if (
    key === undefined ||
    /[DE]/.test(cast.with ?? '') ||
    cast.cleaners !== undefined ||
    cast.crashes === 'slowly' ||
    (!stale && keyOf(world) !== keyOf(empty))
  )
    return undefined;
  return { setting: { scheme: key, processes: cast.processes, outsiders: cast.with ?? '', stale } };
}

/** A stale socket at the path, and a regular file that a program may rename over it. */
export function staleSocket(world: World): World {
  return putFile(putFile(world, place.path, 'socket'), otherPath, 'file', 'precious');
}

/**
 * The one hole that is known (design, section 4): a program removes the lock file while a process
 * that has locked it and compared the inodes is on its way to its bind(2). Another start then locks
 * a new file, and both are inside.
 */
export function unlinksLockUnderStarter(moment: Moment, _mover: number, call: SystemCall): boolean {
  return (
    unlinksLock(moment, call) &&
    moment.pasts.some((past, process) => {
      const { role, doing } = moment.standings[process]!;
      if (role !== 'reuseaddr' || doing !== 'starting') return false;
      const locked = past.findLastIndex(({ call: { name }, answer }) => name === 'flock' && answer === 0);
      return locked >= 0 && past.slice(locked).some(({ call: { name } }) => name === 'fstatat');
    })
  );
}

/**
 * The same with a program that removes the socket file as well: then also a release may be
 * overtaken, between its look at the path and its rename, by a start that locked a new file and
 * bound the path that was free.
 */
export function unlinksLockedFile(moment: Moment, _mover: number, call: SystemCall): boolean {
  return (
    unlinksLock(moment, call) &&
    moment.standings.some(({ role }, process) => role === 'reuseaddr' && hasLock(moment.world, process))
  );
}

function unlinksLock({ place: { lockPath } }: Moment, { name, args }: SystemCall): boolean {
  return name === 'unlinkat' && args[1] === lockPath;
}
