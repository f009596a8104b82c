import type { Machine } from './environment.js';
import type { Measurement, Run } from './measure.js';

/** One run, as `bench/results/` keeps it. */
export interface Recording {
  readonly recorded: string;
  readonly revision: string;
  readonly size: Run['size'];
  readonly machine: Machine;
  /** The load average of the last minute, at the beginning and after each part. */
  readonly loads: readonly number[];
  readonly measurements: readonly Measurement[];
}

export function find({ measurements }: Recording, part: string, group: string, subject: string): Measurement | undefined {
  return measurements.find((one) => one.part === part && one.group === group && one.subject === subject);
}

export function groupsOf(measurements: readonly Measurement[]): readonly (readonly Measurement[])[] {
  const groups = new Map<string, Measurement[]>();
  for (const one of measurements) {
    const key = `${one.part}\n${one.group}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()];
}
