import type { SystemCall } from '#dist/kernel/kernel.js';
import { advance } from './frames.js';
import { Numbers } from './numbers.js';
import type { Past, Phase, Standing } from './process.js';

/**
 * The position of a process within its phase.
 *
 * A running generator can't be copied, but it is determined by the answers that it was sent. So
 * each position is made once, by running a new generator up to there, and is known by a number from
 * then on. The exploration, which comes by millions of times, runs no protocol code.
 */
export interface Position {
  readonly id: number;
  readonly phase: Phase;
  /** The next call. None where the process does nothing any more. */
  readonly call?: SystemCall;
  /** -1: none. */
  readonly callId: number;
  readonly standing: Standing;
  readonly standingId: number;
  /** One way to come here within the phase. */
  readonly past: readonly Past[];
  /** The fault in the outcome of the phase that ended here, if any. */
  readonly wrong?: string;
}

export class Histories {
  readonly positions: Position[] = [];
  readonly answers: Numbers<unknown> = new Numbers();
  readonly #calls = new Numbers<SystemCall>();
  readonly #standings = new Numbers<Standing>();
  readonly #starts = new Map<string, number>();
  readonly #known = new Map<string, number>();
  readonly #after: Map<number, number>[] = [];
  readonly #forgets: boolean;

  /**
   * `forgets`: whether ways to the same place are taken for one (`advance` says why they may be).
   */
  constructor(forgets = true) {
    this.#forgets = forgets;
  }

  /** The position where a phase begins. */
  start(phase: Phase): number {
    const known = this.#starts.get(phase.key);
    if (known !== undefined) return known;
    const id = this.#follow(phase, []);
    this.#starts.set(phase.key, id);
    return id;
  }

  /** The position to which this answer to the pending call leads. */
  after(position: number, answer: number): number {
    const after = this.#after[position]!;
    const known = after.get(answer);
    if (known !== undefined) return known;
    const { phase, past, call } = this.positions[position]!;
    const id = this.#follow(phase, [...past, { call: call!, answer: this.answers.values[answer] }]);
    after.set(answer, id);
    return id;
  }

  /**
   * Runs the phase up to the end of `past`. When it is over there, gives the position where what
   * follows begins.
   */
  #follow(phase: Phase, past: readonly Past[]): number {
    const standing = past.length === 0 ? phase.first : phase.later;
    if (!phase.begin) return this.#add({ phase, callId: -1, standing, past });
    const answers = past.map(({ answer }) => answer);
    const { step, key } = advance(phase.begin, answers);
    if (!step.done) {
      const name = `${phase.key} ${past.length === 0} ${this.#forgets ? key : this.answers.id(answers)}`;
      const known = this.#known.get(name);
      if (known !== undefined) return known;
      const id = this.#add({ phase, call: step.value, callId: this.#calls.id(step.value), standing, past });
      this.#known.set(name, id);
      return id;
    }
    const { phase: following, wrong } = phase.next!(step.value, past);
    if (wrong === undefined) return this.start(following);
    return this.#add({ phase: following, callId: -1, standing: following.first, past: [], wrong });
  }

  #add(position: Omit<Position, 'id' | 'standingId'>): number {
    this.#after.push(new Map());
    const standingId = this.#standings.id(position.standing);
    return this.positions.push({ id: this.positions.length, ...position, standingId }) - 1;
  }
}
