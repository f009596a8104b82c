import { test } from 'node:test';
import { expectToBreak } from './expect.js';
import { allGuarantees, strayUndisturbed } from './guarantees.js';
import { mutants } from './mutants.js';
import { mutate } from './mutate.js';
import { scenario, staleSocket } from './scenarios.js';

for (const { name, edits, caughtBy, processes, with: letters, flockErrno, type } of mutants) {
  test(`mutant: ${name} → ${caughtBy} breaks`, async (t) => {
    const scheme = await mutate(edits, type);
    const cast = { processes: processes ?? 1, starts: 2, releases: true, crashes: true, scheme, with: letters };
    const guarantees = [...allGuarantees, ...(letters === 'S' ? [strayUndisturbed] : [])].filter(
      (guarantee) => guarantee.name === caughtBy,
    );
    const world = scenario(
      name,
      { ...cast, before: (empty) => ({ ...staleSocket(empty), ...(flockErrno && { flockErrno }) }) },
      { guarantees },
    );
    expectToBreak(t, world, caughtBy);
  });
}
