import { acquire } from '#dist/claim/acquire.js';
import type { Terms } from '#dist/claim/bind.js';
import type { Place } from '#dist/claim/locate.js';
import { release } from '#dist/claim/release.js';
import type { SystemCall } from '#dist/kernel/kernel.js';
import { allGuarantees, askedMode, type Moment } from './guarantees.js';
import { life, type LifeOptions, type Scheme } from './lives.js';
import type { Member, Scenario } from './machine.js';
import { emptyWorld, putFile, type World } from './world.js';

export const place: Place = {
  path: '/run/app.sock',
  directory: '/run',
  lockPath: '/run/app.sock.lock',
  asidePath: '/run/.app.sock.reuseaddr-aside',
  long: false,
};

export const terms: Terms = { mode: askedMode, backlog: 1, record: '' };

export const production: Scheme = { start: () => acquire(place, terms), release };

export interface Cast extends LifeOptions {
  readonly processes: number;
  readonly outsiders?: readonly Member[];
  readonly scheme?: Scheme;
  /** What is there before: a socket file that a server left when it crashed, by default. */
  readonly before?: (world: World) => World;
}

/** So many processes that use a scheme, and outsiders. */
export function scenario(name: string, cast: Cast, more: Partial<Scenario> = {}): Scenario {
  const scheme = cast.scheme ?? production;
  const first = life(scheme, place, cast);
  const own = Array.from({ length: cast.processes }, (_, i) => ({ letter: 'ABCDEF'[i]!, life: first }));
  const processes = [...own, ...(cast.outsiders ?? [])];
  const before = cast.before ?? staleSocket;
  return {
    name,
    place,
    world: before(emptyWorld(place.directory, processes.length)),
    processes,
    alike: cast.processes,
    guarantees: allGuarantees,
    freshStart: () => scheme.start(place),
    ...more,
  };
}

export function staleSocket(world: World): World {
  return putFile(world, place.path, 'socket');
}

/**
 * The one hole that is known (design, section 4): somebody removes the lock file while a process that has locked it and compared
 * the inodes is on its way to its bind(2). Another start then locks a new file, and both are inside.
 */
export function unlinksLockUnderStarter({ place: { lockPath }, standings, pasts }: Moment, _mover: number, call: SystemCall): boolean {
  if (call.name !== 'unlink' || call.args[0] !== lockPath) return false;
  return pasts.some((past, process) => {
    if (standings[process]!.role !== 'reuseaddr' || standings[process]!.doing !== 'starting') return false;
    const locked = past.findLastIndex(({ call: { name }, answer }) => name === 'flock' && answer === 0);
    return locked >= 0 && past.slice(locked).some(({ call: { name, args } }) => name === 'lstat' && args[0] === lockPath);
  });
}
