import type { Conversation, SystemCall } from '#dist/kernel/kernel.js';
import type { Place } from '#dist/claim/place.js';
import type { Guarantee, Moment } from './guarantees.js';
import type { Setting } from './link.js';
import { Histories, type Position } from './histories.js';
import { Numbers } from './numbers.js';
import type { Past, Phase } from './process.js';
import { halfway, isLocal, systemCall, waits } from './systemCalls.js';
import { crash, permute, type World } from './world.js';

/** Some processes in a world, and what is promised of them. */
export interface Scenario {
  readonly name: string;
  readonly place: Place;
  readonly world: World;
  readonly processes: readonly Member[];
  /**
   * This number of the first processes lead the same life: which of them is which makes no
   * difference.
   */
  readonly alike: number;
  readonly guarantees: readonly Guarantee[];
  /** A start of one more process, alone, for G3. */
  readonly freshStart: () => Conversation<unknown>;
  /**
   * False: positions are told apart by all that led to them. For the check that this makes no
   * difference.
   */
  readonly forgets?: boolean;
  /** Moves after which nothing is promised; they are not explored. */
  readonly excludes?: (moment: Moment, mover: number, call: SystemCall) => boolean;
  /** How to show it in the explorer, where that can be done. */
  readonly setting?: Setting;
}

export interface Member {
  readonly letter: string;
  readonly life: Phase;
}

/** A state: the number of its world, then the number of each process's position. */
export type State = Uint32Array<ArrayBuffer>;

/** The process that moves. A crash is a move of its own. */
export interface Move {
  readonly process: number;
  readonly crash: boolean;
}

/** The number of each that fits into the keys below, next to ten million worlds. */
const callsMax = 4096;
const processesMax = 16;

const blocked = -1;
const half = -2;

/**
 * A scenario as a transition system. Worlds, positions, calls and answers are known by numbers, and
 * each distinct call in each distinct world is made once.
 */
export class Machine {
  readonly scenario: Scenario;
  readonly worlds: Numbers<World> = new Numbers();
  readonly histories: Histories;
  /** Is told each call that a move consists of. */
  watch: ((past: Past) => void) | undefined;
  readonly #made = new Map<number, number>();
  readonly #answers: number[] = [];
  readonly #next: number[] = [];
  readonly #isLocal: boolean[] = [];
  readonly #crashed = new Map<number, number>();
  readonly #crashTargets: number[] = [];
  readonly #permuted = new Map<number, number>();
  readonly #orders: readonly (readonly number[])[];

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.histories = new Histories(scenario.forgets);
    this.#orders = permutations(scenario.alike).map((order) => scenario.processes.map((_process, i) => order[i] ?? i));
  }

  get width(): number {
    return this.scenario.processes.length + 1;
  }

  initial(): State {
    const starts = this.scenario.processes.map(({ life }) => this.histories.start(life));
    return new Uint32Array([this.worlds.id(this.scenario.world), ...starts]);
  }

  /** Makes the move, if it is possible in `from`, and puts the outcome into `to`. */
  move(from: State, { process, crash: crashes }: Move, to: State): boolean {
    return crashes ? this.#crash(from, process, to) : this.#step(from, process, to);
  }

  position(state: State, process: number): Position {
    return this.histories.positions[state[process + 1]!]!;
  }

  world(state: State): World {
    return this.worlds.values[state[0]!]!;
  }

  moment(state: State): Moment {
    const { place, processes } = this.scenario;
    const positions = processes.map((_process, i) => this.position(state, i));
    return {
      world: this.world(state),
      place,
      standings: positions.map(({ standing }) => standing),
      pasts: positions.map(({ past }) => past),
    };
  }

  /**
   * The pending call of a process and, after it, those that concern no other process: they need no
   * step of their own.
   */
  #step(from: State, process: number, to: State): boolean {
    const { positions } = this.histories;
    if (positions[from[process + 1]!]!.callId < 0) return false;
    let made = this.#make(from[0]!, positions[from[process + 1]!]!, process);
    if (this.#answers[made] === blocked) return false;
    to.set(from);
    for (;;) {
      const position = positions[to[process + 1]!]!;
      const answer = this.#answers[made]!;
      this.watch?.({ call: position.call!, answer: answer === half ? halfway : this.histories.answers.values[answer] });
      to[0] = this.#next[made]!;
      if (answer === half) return true;
      to[process + 1] = this.histories.after(position.id, answer);
      const next = positions[to[process + 1]!]!;
      // At the start of a phase a process may stay for any time, so it is not entered on the quiet.
      if (next.callId < 0 || next.past.length === 0) return true;
      made = this.#make(to[0], next, process);
      if (!this.#isLocal[made]!) return true;
    }
  }

  /** Makes a call, or finds what it came to when it was made in this world before. */
  #make(worldId: number, { callId, call }: Position, process: number): number {
    const key = (worldId * callsMax + callId) * processesMax + process;
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const before = this.worlds.values[worldId]!;
    const { answer, world } = systemCall(before, process, call!.name, call!.args);
    if (callId >= callsMax || process >= processesMax) throw new Error('too many different calls or processes for one number');
    const made =
      this.#answers.push(answer === waits ? blocked : answer === halfway ? half : this.histories.answers.id(answer)) - 1;
    this.#next.push(answer === waits ? worldId : this.worlds.id(world));
    this.#isLocal.push(isLocal(before, process, call!.name, call!.args));
    this.#made.set(key, made);
    return made;
  }

  #crash(from: State, process: number, to: State): boolean {
    const target = this.#crashTarget(from[process + 1]!);
    if (target < 0) return false;
    const worldId = from[0]!;
    const key = worldId * processesMax + process;
    let next = this.#crashed.get(key);
    if (next === undefined) {
      const world = this.worlds.values[worldId]!;
      // A bind(2) is not left halfway: a signal waits for its end.
      next = world.binding === process ? blocked : this.worlds.id(crash(world, process));
      this.#crashed.set(key, next);
    }
    if (next === blocked) return false;
    to.set(from);
    if (this.position(from, process).phase.crash!.closesAll) to[0] = next;
    to[process + 1] = target;
    return true;
  }

  /** The position to which a crash leads. A process that has not begun has nothing to lose. */
  #crashTarget(positionId: number): number {
    let target = this.#crashTargets[positionId];
    if (target === undefined) {
      const { phase, past } = this.histories.positions[positionId]!;
      const idle = past.length === 0 && phase.first.doing === 'idle';
      target = !phase.crash || idle ? blocked : this.histories.start(phase.crash.phase());
      this.#crashTargets[positionId] = target;
    }
    return target;
  }

  /**
   * Replaces the state by the one that stands for all that differ from it only in which of the like
   * processes is which.
   */
  canonicalize(state: State): void {
    const { alike } = this.scenario;
    if (alike < 2) return;
    let best: number | undefined;
    let bestOrder = this.#orders[0]!;
    for (let index = 0; index < this.#orders.length; index++) {
      const order = this.#orders[index]!;
      if (!isSorted(state, order, alike)) continue;
      const world = index === 0 ? state[0]! : this.#permute(state[0]!, index);
      if (best === undefined || world < best) [best, bestOrder] = [world, order];
    }
    state[0] = best!;
    if (bestOrder === this.#orders[0]) return;
    const positions = state.slice(1, alike + 1);
    for (let i = 0; i < alike; i++) state[i + 1] = positions[bestOrder[i]!]!;
  }

  #permute(worldId: number, index: number): number {
    const key = worldId * this.#orders.length + index;
    let permuted = this.#permuted.get(key);
    if (permuted === undefined) {
      permuted = this.worlds.id(permute(this.worlds.values[worldId]!, this.#orders[index]!));
      this.#permuted.set(key, permuted);
    }
    return permuted;
  }
}

function isSorted(state: State, order: readonly number[], count: number): boolean {
  for (let i = 1; i < count; i++) if (state[order[i - 1]! + 1]! > state[order[i]! + 1]!) return false;
  return true;
}

/** The first of them changes nothing. */
function permutations(count: number): number[][] {
  if (count <= 1) return [Array.from({ length: count }, (_, i) => i)];
  return permutations(count - 1).flatMap((rest) => [
    [...rest, count - 1],
    ...rest.map((_, i) => rest.toSpliced(i, 0, count - 1)),
  ]);
}
