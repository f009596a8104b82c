import { run } from '#dist/kernel/kernel.js';
import type { FreshStart, Guarantee, Step } from './guarantees.js';
import { Machine, type Move, type Scenario, type State } from './machine.js';
import { countSchedules } from './countSchedules.js';
import { simulatedKernel } from './simulatedKernel.js';
import { IntList, StateStore } from './stateStore.js';
import { crash, hasLock, type World } from './world.js';

/** What came of an exploration. */
export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** How many ways lead from the start to an end of all processes. Only if all were explored. */
  readonly schedules?: number;
  /** The longest of the shortest ways to a state. */
  readonly steps: number;
  readonly violation?: Violation;
  /** All worlds that were met, and some that are like one of them but for the order of the processes. */
  readonly worlds: readonly World[];
}

export interface Violation {
  readonly guarantee: Guarantee['name'];
  readonly what: string;
  /** The shortest way to it. */
  readonly moves: readonly Move[];
}

interface Found {
  readonly guarantee: Guarantee['name'];
  readonly what: string;
}

const standingsMax = 128;

/** Visits every state that a scenario can come to, the nearest first, until one breaks a guarantee. */
export function explore(scenario: Scenario, statesMax: number = 30_000_000): Exploration {
  return new Explorer(scenario).run(statesMax);
}

class Explorer {
  readonly #machine: Machine;
  readonly #store: StateStore;
  /** For each state, the one from which it was reached first, and by which move. */
  readonly #parents = new IntList();
  readonly #moves: readonly Move[];
  readonly #graph: { edges: IntList; firstEdge: IntList } = { edges: new IntList(), firstEdge: new IntList() };
  /** The worlds in which a fresh start has been tried. */
  readonly #tried = new Set<number>();
  /** The moments that have been checked: states with the same world and standings are alike to every guarantee. */
  readonly #checked = new Set<number>();
  readonly #inMoment: readonly Guarantee[];
  readonly #inStep: readonly Guarantee[];
  readonly #freshStart: readonly Guarantee[];

  constructor(scenario: Scenario) {
    this.#machine = new Machine(scenario);
    this.#store = new StateStore(this.#machine.width);
    this.#moves = scenario.processes.flatMap((_process, process) => [
      { process, crash: false },
      { process, crash: true },
    ]);
    this.#inMoment = scenario.guarantees.filter(({ inMoment }) => inMoment);
    this.#inStep = scenario.guarantees.filter(({ inStep }) => inStep);
    this.#freshStart = scenario.guarantees.filter(({ afterFreshStart }) => afterFreshStart);
  }

  run(statesMax: number): Exploration {
    const [from, to] = [this.#machine.initial(), this.#machine.initial()];
    this.#machine.canonicalize(to);
    this.#store.add(to);
    this.#parents.push(0);
    const steps = new IntList();
    steps.push(0);
    for (let id = 0; id < this.#store.count; id++) {
      this.#graph.firstEdge.push(this.#graph.edges.length);
      this.#store.read(id, from);
      let stuck = true;
      for (let index = 0; index < this.#moves.length; index++) {
        const move = this.#moves[index]!;
        if (!this.#machine.move(from, move, to)) continue;
        stuck = false;
        if (this.#isExcluded(from, move)) continue;
        const found = this.#breachInStep(from, move, to);
        if (found) return this.#report(steps.at(id) + 1, this.#violation(found, id, move));
        this.#machine.canonicalize(to);
        const next = this.#store.add(to);
        this.#graph.edges.push(next);
        if (next < steps.length) continue;
        this.#parents.push(id * this.#moves.length + index);
        steps.push(steps.at(id) + 1);
        const wrong = this.#breachInState(to);
        if (wrong) return this.#report(steps.at(next), this.#violation(wrong, id, move));
        if (next >= statesMax) throw new Error(`${this.#machine.scenario.name}: more than ${statesMax} states`);
      }
      const waiting = stuck ? this.#waiting(from) : undefined;
      if (waiting) return this.#report(steps.at(id), this.#violation(waiting, id));
    }
    this.#graph.firstEdge.push(this.#graph.edges.length);
    return { ...this.#report(steps.at(this.#store.count - 1)), schedules: countSchedules(this.#graph) };
  }

  /** Nobody can move: has everybody come to his end? */
  #waiting(state: State): Found | undefined {
    const process = this.#machine.scenario.processes.findIndex((_process, i) => this.#machine.position(state, i).callId >= 0);
    return process < 0 ? undefined : { guarantee: 'G3', what: `process ${process} waits for ever` };
  }

  #report(steps: number, violation?: Violation): Exploration {
    const counts = {
      states: this.#store.count,
      transitions: this.#graph.edges.length,
      steps,
      worlds: this.#machine.worlds.values,
    };
    return violation ? { ...counts, violation } : counts;
  }

  #isExcluded(from: State, { process, crash: crashes }: Move): boolean {
    const { excludes } = this.#machine.scenario;
    const { call, standing } = this.#machine.position(from, process);
    return (
      !crashes &&
      call !== undefined &&
      standing.role === 'outsider' &&
      (excludes?.(this.#machine.moment(from), process, call) ?? false)
    );
  }

  #breachInStep(from: State, { process, crash: crashes }: Move, to: State): Found | undefined {
    const after = this.#machine.world(to);
    // Only a call that changes a name can break these.
    if (crashes || from[0] === to[0] || sameNames(this.#machine.world(from), after)) return undefined;
    const call = this.#machine.position(from, process).call;
    const step: Step = { ...this.#machine.moment(from), mover: process, call, after };
    return firstBreach(this.#inStep, (guarantee) => guarantee.inStep!(step));
  }

  #breachInState(state: State): Found | undefined {
    const { scenario } = this.#machine;
    let key = state[0]!;
    for (let process = 0; process < scenario.processes.length; process++) {
      const { wrong, standingId } = this.#machine.position(state, process);
      if (wrong !== undefined) return { guarantee: 'G2', what: wrong };
      key = key * standingsMax + standingId;
      if (standingId >= standingsMax || !Number.isSafeInteger(key))
        throw new Error('too many different standings for one number');
    }
    if (this.#checked.has(key)) return undefined;
    this.#checked.add(key);
    const moment = this.#machine.moment(state);
    return firstBreach(this.#inMoment, (guarantee) => guarantee.inMoment!(moment)) ?? this.#breachByFreshStart(state);
  }

  /**
   * G3 in this state. If all that use reuseaddr died now, would a fresh start succeed? And if none of them has a claim or asks for
   * one, would it, with the others stopped where they are, some of them in the middle of a release?
   */
  #breachByFreshStart(state: State): Found | undefined {
    const world = this.#machine.world(state);
    // A bind(2) that is halfway will soon be over; then is the time to ask.
    if (this.#freshStart.length === 0 || world.binding !== -1) return undefined;
    const standings = this.#machine.scenario.processes.map((_process, i) => this.#machine.position(state, i).standing);
    let emptied = world;
    for (const [process, { role }] of standings.entries()) {
      // A cleaner that has the lock at this moment will let it go.
      if (role === 'reuseaddr' || hasLock(world, process)) emptied = crash(emptied, process);
    }
    const busy = standings.some(
      ({ doing }, process) => hasLock(world, process) || ['starting', 'holding', 'dying'].includes(doing),
    );
    return this.#breachAlone(emptied) ?? (busy ? undefined : this.#breachAlone(world));
  }

  #breachAlone(world: World): Found | undefined {
    const id = this.#machine.worlds.id(world);
    if (this.#tried.has(id)) return undefined;
    this.#tried.add(id);
    const outcome = startAlone(this.#machine.scenario, world);
    return firstBreach(this.#freshStart, (guarantee) => guarantee.afterFreshStart!(outcome));
  }

  #violation({ guarantee, what }: Found, parent: number, last?: Move): Violation {
    const ids = [];
    for (let id = parent; id !== 0; id = Math.floor(this.#parents.at(id) / this.#moves.length)) ids.unshift(id);
    const targets = ids.map((id) => this.#read(id));
    if (!last) return { guarantee, what, moves: this.#concrete(targets) };
    const end = this.#read(parent);
    this.#machine.move(this.#read(parent), last, end);
    this.#machine.canonicalize(end);
    return { guarantee, what, moves: this.#concrete([...targets, end]) };
  }

  /** The moves of a way that is known by the states that stand for those on it: there each process moves under its own letter. */
  #concrete(targets: readonly State[]): Move[] {
    let state = this.#machine.initial();
    return targets.map((target) => {
      for (const move of this.#moves) {
        const [next, standsFor] = [state.slice(), state.slice()];
        if (!this.#machine.move(state, move, next)) continue;
        standsFor.set(next);
        this.#machine.canonicalize(standsFor);
        if (standsFor.some((word, i) => word !== target[i])) continue;
        state = next;
        return move;
      }
      throw new Error('the way to a state is lost');
    });
  }

  #read(id: number): State {
    const state = this.#machine.initial();
    this.#store.read(id, state);
    return state;
  }
}

export function startAlone(scenario: Scenario, world: World): FreshStart {
  const process = scenario.processes.length;
  const simulated = simulatedKernel({ ...world, descriptors: [...world.descriptors, []] }, process);
  const outcome = run(simulated.kernel, scenario.freshStart());
  const outsiders = scenario.processes.flatMap(({ life }, i) => (life.first.role === 'outsider' ? [i] : []));
  return { place: scenario.place, outsiders, after: simulated.world, process, outcome };
}

function firstBreach(guarantees: readonly Guarantee[], check: (guarantee: Guarantee) => string | undefined): Found | undefined {
  for (const guarantee of guarantees) {
    const what = check(guarantee);
    if (what !== undefined) return { guarantee: guarantee.name, what };
  }
  return undefined;
}

function sameNames(a: World, b: World): boolean {
  const names = Object.keys(a.names);
  return names.length === Object.keys(b.names).length && names.every((name) => a.names[name] === b.names[name]);
}
