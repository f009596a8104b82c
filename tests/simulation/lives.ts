import type { Place } from '#dist/claim/place.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { sys, type Conversation } from '#dist/kernel/kernel.js';
import { isClaim } from './guarantees.js';
import { keyOf } from './numbers.js';
import type { Claim, Past, Phase, Standing } from './process.js';

/** A way to claim an address: the production code, a mutant of it, or a naive scheme. */
export interface Scheme {
  /** Its name in the explorer's links. None: the explorer does not have it. */
  readonly key?: string;
  /** Tells schemes apart that take part in one scenario. */
  readonly name?: string;
  readonly start: (place: Place) => Conversation<unknown>;
  readonly release: (place: Place, claim: Claim) => Conversation<unknown>;
  /** `clean`, for the scenarios that have one. */
  readonly clean?: (place: Place) => Conversation<unknown>;
}

export interface LifeOptions {
  /**
   * How often it starts. Each time it releases at any later moment; after a crash or a refusal too
   * it starts again.
   */
  readonly starts: number;
  /** Whether a holder ever releases, or only crashes. */
  readonly releases: boolean;
  readonly crashes: boolean | 'slowly';
}

/**
 * The life of a process that uses a scheme: start, hold, release, start again, with a crash before
 * and after every call.
 */
export function life(scheme: Scheme, place: Place, options: LifeOptions): Phase {
  return starting(scheme, place, options);
}

const over: Phase = { key: 'over', first: { role: 'reuseaddr', doing: 'done' }, later: { role: 'reuseaddr', doing: 'done' } };

function starting(scheme: Scheme, place: Place, options: LifeOptions): Phase {
  if (options.starts === 0) return over;
  const again = { ...options, starts: options.starts - 1 };
  return {
    key: `${scheme.name ?? ''} start ${options.starts}`,
    first: { role: 'reuseaddr', doing: 'idle' },
    later: { role: 'reuseaddr', doing: 'starting' },
    begin: () => scheme.start(place),
    next(outcome, history) {
      if (isClaim(outcome)) return { phase: holding(scheme, place, again, claimOf(outcome)) };
      const phase = starting(scheme, place, again);
      const wrong = wrongRefusal(outcome, history);
      return wrong === undefined ? { phase } : { phase, wrong };
    },
    ...crash(() => starting(scheme, place, again), options),
  };
}

function holding(scheme: Scheme, place: Place, again: LifeOptions, claim: Claim): Phase {
  const standing = { role: 'reuseaddr', claim } as const;
  const holds: Standing = { ...standing, doing: 'holding' };
  return {
    key: `${scheme.name ?? ''} hold ${again.starts} ${keyOf(claim)}`,
    first: holds,
    later: { ...standing, doing: 'releasing' },
    ...(again.releases && { begin: () => scheme.release(place, claim), next: () => ({ phase: starting(scheme, place, again) }) }),
    ...crash(() => starting(scheme, place, again), again),
  };
}

function crash(phase: () => Phase, { crashes }: LifeOptions): Pick<Phase, 'crash'> | undefined {
  if (crashes === false) return undefined;
  if (crashes === true) return { crash: { phase, closesAll: true } };
  return { crash: { phase: () => dying(phase()), closesAll: false } };
}

/**
 * The kernel closes the descriptors of a dead process one after another, and others see the moments
 * in between.
 */
function dying(after: Phase): Phase {
  const standing: Standing = { role: 'reuseaddr', doing: 'dying' };
  return {
    key: `die, then ${after.key}`,
    first: standing,
    later: standing,
    *begin() {
      for (const fd of [3, 4, 5]) yield* sys.close(fd);
    },
    next: () => ({ phase: after }),
  };
}

/** A process that cleans the address so often, and may be killed in the middle. */
export function cleaner({ clean }: Scheme, place: Place, times = 2): Phase {
  if (times === 0) return over;
  const killed: Standing = { role: 'outsider', doing: 'done' };
  return {
    key: `clean ${times}`,
    first: { role: 'reuseaddr', doing: 'idle' },
    later: { role: 'reuseaddr', doing: 'starting' },
    ...(clean && { begin: () => clean(place) }),
    next: () => ({ phase: cleaner({ clean } as Scheme, place, times - 1) }),
    crash: { phase: () => ({ key: 'killed', first: killed, later: killed }), closesAll: true },
  };
}

function claimOf({ lockFd, listenFd, identity, removesLock = false }: Claim): Claim {
  return { lockFd, listenFd, identity: { dev: identity.dev, ino: identity.ino }, removesLock };
}

/**
 * `held` and `starting` say that a process has the lock. They may be said only after the kernel
 * said so.
 */
function wrongRefusal(outcome: unknown, history: readonly Past[]): string | undefined {
  if (!isRefusal(outcome) || (outcome.refused !== 'held' && outcome.refused !== 'starting')) return undefined;
  const last = history.findLast(({ call }) => call.name === 'flock');
  return last?.answer === 'EAGAIN' ? undefined : `a start was refused as ${outcome.refused}, but no process had the lock`;
}
