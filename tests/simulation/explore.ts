import { Checks, type Breach } from './checks.js';
import type { Guarantee } from './guarantees.js';
import { Machine, type Move, type Scenario, type State } from './machine.js';
import { countSchedules } from './countSchedules.js';
import { IntList, StateStore } from './stateStore.js';
import type { World } from './world.js';

/** The result of an exploration. */
export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** How many ways lead from the start to an end of all processes. Only if all were explored. */
  readonly schedules?: number;
  /** The longest of the shortest ways to a state. */
  readonly steps: number;
  readonly violation?: Violation;
  /**
   * All worlds that were met, and some that are like one of them but for the order of the
   * processes.
   */
  readonly worlds: readonly World[];
}

export interface Violation {
  readonly guarantee: Guarantee['name'];
  readonly what: string;
  /** The shortest way to it. */
  readonly moves: readonly Move[];
}

export interface Limits {
  readonly statesMax?: number;
  /**
   * Is told now and then how many states there are so far, and how many steps the nearest of those
   * that are left is away.
   */
  readonly progress?: (states: number, steps: number) => void;
}

/** More states than `statesMax`: what was explored until then broke nothing. */
export class TooManyStates extends Error {
  override readonly name: string = 'TooManyStates';
}

const progressEvery = 4096;

/**
 * Visits every state that a scenario can come to, the nearest first, until one breaks a guarantee.
 */
export function explore(scenario: Scenario, limits: Limits = {}): Exploration {
  return new Explorer(scenario).run(limits);
}

class Explorer {
  readonly #machine: Machine;
  readonly #store: StateStore;
  /** For each state, the one from which it was reached first, and by which move. */
  readonly #parents = new IntList();
  readonly #moves: readonly Move[];
  readonly #graph: { edges: IntList; firstEdge: IntList } = { edges: new IntList(), firstEdge: new IntList() };
  readonly #checks: Checks;

  constructor(scenario: Scenario) {
    this.#machine = new Machine(scenario);
    this.#checks = new Checks(this.#machine);
    this.#store = new StateStore(this.#machine.width);
    this.#moves = scenario.processes.flatMap((_process, process) => [
      { process, crash: false },
      { process, crash: true },
    ]);
  }

  run({ statesMax = 30_000_000, progress }: Limits): Exploration {
    const [from, to] = [this.#machine.initial(), this.#machine.initial()];
    this.#machine.canonicalize(to);
    this.#store.add(to);
    this.#parents.push(0);
    const steps = new IntList();
    steps.push(0);
    for (let id = 0; id < this.#store.count; id++) {
      this.#graph.firstEdge.push(this.#graph.edges.length);
      this.#store.read(id, from);
      if (id % progressEvery === 0) progress?.(this.#store.count, steps.at(id));
      let stuck = true;
      for (let index = 0; index < this.#moves.length; index++) {
        const move = this.#moves[index]!;
        if (!this.#machine.move(from, move, to)) continue;
        stuck = false;
        if (this.#isExcluded(from, move)) continue;
        const [found] = this.#checks.inStep(from, move, to);
        if (found) return this.#report(steps.at(id) + 1, this.#violation(found, id, move));
        this.#machine.canonicalize(to);
        const next = this.#store.add(to);
        this.#graph.edges.push(next);
        if (next < steps.length) continue;
        this.#parents.push(id * this.#moves.length + index);
        steps.push(steps.at(id) + 1);
        const [wrong] = this.#checks.inState(to);
        if (wrong) return this.#report(steps.at(next), this.#violation(wrong, id, move));
        if (next >= statesMax) throw new TooManyStates(`${this.#machine.scenario.name}: more than ${statesMax} states`);
      }
      const waiting = stuck ? this.#waiting(from) : undefined;
      if (waiting) return this.#report(steps.at(id), this.#violation(waiting, id));
    }
    this.#graph.firstEdge.push(this.#graph.edges.length);
    return { ...this.#report(steps.at(this.#store.count - 1)), schedules: countSchedules(this.#graph) };
  }

  /** No process can move: has each come to its end? */
  #waiting(state: State): Breach | undefined {
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

  #violation({ guarantee, what }: Breach, parent: number, last?: Move): Violation {
    const ids = [];
    for (let id = parent; id !== 0; id = Math.floor(this.#parents.at(id) / this.#moves.length)) ids.unshift(id);
    const targets = ids.map((id) => this.#read(id));
    if (!last) return { guarantee, what, moves: this.#concrete(targets) };
    const end = this.#read(parent);
    this.#machine.move(this.#read(parent), last, end);
    this.#machine.canonicalize(end);
    return { guarantee, what, moves: this.#concrete([...targets, end]) };
  }

  /**
   * The moves of a way that is known by the states that stand for those on it: there each process
   * moves under its own letter.
   */
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
