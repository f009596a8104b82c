import type { SystemCall } from '#dist/kernel/kernel.js';
import type { Past, Phase, Standing } from './process.js';

/**
 * Where a process is: the answers that it has got so far within its phase.
 *
 * A running generator can't be copied, but it is determined by the answers that it was sent. So each place is made once, by
 * running a new generator up to there, and is known by a number from then on. The exploration, which comes by millions of times,
 * runs no protocol code.
 */
export interface Place {
  readonly id: number;
  readonly phase: Phase;
  /** The next call; undefined only where the phase has none at all. */
  readonly call?: SystemCall;
  readonly callId: number;
  readonly standing: Standing;
  readonly past: readonly Past[];
  /** What is wrong with the outcome of the phase that ended here, if anything. */
  readonly wrong?: string;
}

/** Gives equal values equal numbers. */
export class Numbers<Value> {
  readonly values: Value[] = [];
  readonly #ids = new Map<string, number>();

  id(value: Value, key: string = keyOf(value)): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    this.#ids.set(key, this.values.length);
    return this.values.push(value) - 1;
  }
}

export class Histories {
  readonly places: Place[] = [];
  readonly calls: Numbers<SystemCall> = new Numbers();
  readonly answers: Numbers<unknown> = new Numbers();
  readonly #starts = new Map<string, number>();
  readonly #after: Map<number, number>[] = [];

  /** The place where a phase begins. */
  start(phase: Phase): number {
    const known = this.#starts.get(phase.key);
    if (known !== undefined) return known;
    const id = this.#follow(phase, []);
    this.#starts.set(phase.key, id);
    return id;
  }

  /** The place to which this answer to the pending call leads. */
  after(place: number, answer: number): number {
    const after = this.#after[place]!;
    const known = after.get(answer);
    if (known !== undefined) return known;
    const { phase, past, call } = this.places[place]!;
    const id = this.#follow(phase, [...past, { call: call!, answer: this.answers.values[answer] }]);
    after.set(answer, id);
    return id;
  }

  /** Runs the phase up to the end of `past`. When it is over there, gives the place where what follows begins. */
  #follow(phase: Phase, past: readonly Past[]): number {
    const operation = phase.begin?.();
    let step = operation?.next();
    for (const { answer } of past) step = operation?.next(answer);
    if (step?.done) {
      const { phase: following, wrong } = phase.next!(step.value, past);
      if (wrong === undefined) return this.start(following);
      return this.#add({ phase: following, callId: -1, standing: following.first, past: [], wrong });
    }
    const standing = past.length === 0 ? phase.first : phase.then;
    if (!step) return this.#add({ phase, callId: -1, standing, past });
    return this.#add({ phase, call: step.value, callId: this.calls.id(step.value), standing, past });
  }

  #add(place: Omit<Place, 'id'>): number {
    this.#after.push(new Map());
    return this.places.push({ id: this.places.length, ...place }) - 1;
  }
}

export function keyOf(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part)) ?? 'undefined';
}
