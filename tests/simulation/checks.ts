import { run } from '#dist/kernel/kernel.js';
import type { FreshStart, Guarantee, Step } from './guarantees.js';
import type { Machine, Move, Scenario, State } from './machine.js';
import { simulatedKernel } from './simulatedKernel.js';
import { crash, hasLock, type World } from './world.js';

/** A guarantee that does not hold, and the sentence that says why. */
export interface Breach {
  readonly guarantee: Guarantee['name'];
  readonly what: string;
}

/** The number of each that fits into the keys below. */
const standingsMax = 128;
const castsMax = 2 ** 20;

/**
 * Looks for guarantees that are broken: all of them, in the order of the scenario, so that a search
 * takes the first and a page shows each.
 */
export class Checks {
  readonly #machine: Machine;
  readonly #repeats: boolean;
  /** The worlds in which a fresh start has been tried. */
  readonly #tried = new Set<number>();
  /**
   * The moments that have been checked: states with the same world and standings are alike to every
   * guarantee.
   */
  readonly #checked = new Set<number>();
  /**
   * Standings, one process after another: the number of those before and the next one's give the
   * number of all.
   */
  readonly #casts = new Map<number, number>();
  readonly #inMoment: readonly Guarantee[];
  readonly #inStep: readonly Guarantee[];
  readonly #freshStart: readonly Guarantee[];

  /** `repeats`: whether a moment that was looked at before is looked at again. */
  constructor(machine: Machine, repeats = false) {
    this.#machine = machine;
    this.#repeats = repeats;
    const { guarantees } = machine.scenario;
    this.#inMoment = guarantees.filter(({ inMoment }) => inMoment);
    this.#inStep = guarantees.filter(({ inStep }) => inStep);
    this.#freshStart = guarantees.filter(({ afterFreshStart }) => afterFreshStart);
  }

  inStep(from: State, { process, crash: crashes }: Move, to: State): readonly Breach[] {
    const after = this.#machine.world(to);
    // Only a call that changes a name can break these.
    if (crashes || from[0] === to[0] || sameNames(this.#machine.world(from), after)) return none;
    const call = this.#machine.position(from, process).call;
    const step: Step = { ...this.#machine.moment(from), mover: process, call, after };
    return breaches(this.#inStep, (guarantee) => guarantee.inStep!(step));
  }

  inState(state: State): readonly Breach[] {
    const { scenario } = this.#machine;
    let cast = 0;
    for (let process = 0; process < scenario.processes.length; process++) {
      const { wrong, standingId } = this.#machine.position(state, process);
      if (wrong !== undefined) return [{ guarantee: 'G2', what: wrong }];
      if (standingId >= standingsMax) throw new Error('too many different standings for one number');
      cast = this.#cast(cast * standingsMax + standingId);
    }
    const key = state[0]! * castsMax + cast;
    if (cast >= castsMax || !Number.isSafeInteger(key)) throw new Error('too many different worlds or standings for one number');
    if (!this.#repeats && this.#checked.has(key)) return none;
    this.#checked.add(key);
    const moment = this.#machine.moment(state);
    const found = breaches(this.#inMoment, (guarantee) => guarantee.inMoment!(moment));
    return found.length > 0 && !this.#repeats ? found : [...found, ...this.#byFreshStart(state)];
  }

  #cast(key: number): number {
    const known = this.#casts.get(key);
    if (known !== undefined) return known;
    const cast = this.#casts.size + 1;
    this.#casts.set(key, cast);
    return cast;
  }

  /**
   * G3 in this state. If all that use reuseaddr died now, would a fresh start succeed? And if none
   * of them has a claim or asks for one, would it, with the others stopped where they are, some of
   * them in the middle of a release?
   */
  #byFreshStart(state: State): readonly Breach[] {
    const world = this.#machine.world(state);
    // A bind(2) that is halfway will soon be over; then is the time to ask.
    if (this.#freshStart.length === 0 || world.binding !== -1) return none;
    const standings = this.#machine.scenario.processes.map((_process, i) => this.#machine.position(state, i).standing);
    let emptied = world;
    for (const [process, { role }] of standings.entries()) {
      // A cleaner that has the lock at this moment will let it go.
      if (role === 'reuseaddr' || hasLock(world, process)) emptied = crash(emptied, process);
    }
    const busy = standings.some(
      ({ doing }, process) => hasLock(world, process) || ['starting', 'holding', 'dying'].includes(doing),
    );
    const found = this.#alone(emptied);
    return found.length > 0 || busy ? found : this.#alone(world);
  }

  #alone(world: World): readonly Breach[] {
    const id = this.#machine.worlds.id(world);
    if (!this.#repeats && this.#tried.has(id)) return none;
    this.#tried.add(id);
    const outcome = startAlone(this.#machine.scenario, world);
    return breaches(this.#freshStart, (guarantee) => guarantee.afterFreshStart!(outcome));
  }
}

/** One more process starts in this world, alone, to its end. */
export function startAlone(scenario: Scenario, world: World): FreshStart {
  const process = scenario.processes.length;
  const simulated = simulatedKernel({ ...world, descriptors: [...world.descriptors, []] }, process);
  const outcome = run(simulated.kernel, scenario.freshStart());
  const outsiders = scenario.processes.flatMap(({ life }, i) => (life.first.role === 'outsider' ? [i] : []));
  return { place: scenario.place, outsiders, after: simulated.world, process, outcome };
}

const none: readonly Breach[] = [];

function breaches(guarantees: readonly Guarantee[], check: (guarantee: Guarantee) => string | undefined): readonly Breach[] {
  let found: Breach[] | undefined;
  for (const guarantee of guarantees) {
    const what = check(guarantee);
    if (what !== undefined) (found ??= []).push({ guarantee: guarantee.name, what });
  }
  return found ?? none;
}

function sameNames(a: World, b: World): boolean {
  const names = Object.keys(a.names);
  return names.length === Object.keys(b.names).length && names.every((name) => a.names[name] === b.names[name]);
}
