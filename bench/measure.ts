/**
 * Shared by all parts: the shape of a measurement, rounds in which subjects take turns, and the
 * numbers that sum them up.
 */

export type Better = 'lower' | 'higher';

/**
 * One subject, measured once in each round. The values of one round, over the subjects of a group,
 * belong together.
 */
export interface Measurement {
  readonly part: string;
  /** Subjects of one group take turns, and are compared with each other. */
  readonly group: string;
  readonly subject: string;
  readonly unit: string;
  readonly better: Better;
  readonly values: readonly number[];
}

export interface Subject {
  readonly name: string;
  /** Returns one value in the group's unit. */
  readonly measure: () => Promise<number> | number;
}

/** The size of a run, and a function that reports its progress. */
export interface Run {
  readonly size: 'tiny' | 'quick' | 'full';
  readonly say: (what: string) => void;
}

/** Chooses a value by the size of the run. */
export function choose<Value>({ size }: Run, full: Value, quick: Value, tiny: Value): Value {
  return { full, quick, tiny }[size];
}

/**
 * Measures the subjects in turn, `rounds` times. Each round begins with another subject. So the
 * load of the machine, and the caches that the previous subject left, affect all of them alike. The
 * first round is thrown away.
 */
export async function takeTurns(
  about: Pick<Measurement, 'part' | 'group' | 'unit' | 'better'>,
  rounds: number,
  subjects: readonly Subject[],
): Promise<Measurement[]> {
  const values = new Map(subjects.map(({ name }) => [name, [] as number[]]));
  for (let round = -1; round < rounds; round++) {
    const first = (round + 1) % subjects.length;
    for (const { name, measure } of [...subjects.slice(first), ...subjects.slice(0, first)]) {
      const value = await measure();
      if (round >= 0) values.get(name)?.push(value);
    }
  }
  return [...values].map(([subject, measured]) => ({ ...about, subject, values: measured }));
}

/** Returns the value below which this share of all values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Returns the quartiles: half of all values lie between them. */
export function quartiles(values: readonly number[]): readonly [number, number] {
  return [quantile(values, 0.25), quantile(values, 0.75)];
}

/** Returns the ratio of the medians, and the quartiles of the ratios round by round. */
export function ratio(
  one: Measurement,
  other: Measurement,
): { readonly median: number; readonly spread: readonly [number, number] } {
  const pairs = one.values.map((value, round) => value / (other.values[round] ?? Number.NaN));
  return { median: median(one.values) / median(other.values), spread: quartiles(pairs) };
}

/**
 * Returns the microseconds of processor time that some work takes, in all threads, as the average
 * of `times`. The event loop turns in between, which is not counted: until then, a closed handle
 * keeps the memory of its server.
 */
export async function processorMicroseconds(times: number, work: () => Promise<unknown>): Promise<number> {
  let total = 0;
  for (let count = 0; count < times; count++) {
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    total += user + system;
    await turn();
  }
  return total / times;
}

/** Lets the event loop turn once. */
function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
