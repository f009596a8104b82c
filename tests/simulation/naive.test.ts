import { test } from 'node:test';
import { expectToBreak } from './expect.js';
import { allGuarantees } from './guarantees.js';
import { naiveSchemes } from './naive.js';
import { replay } from './schedule.js';
import { scenario } from './scenarios.js';

for (const scheme of naiveSchemes) {
  test(`${scheme.name} (${scheme.usedBy}) → breaks ${scheme.caughtBy}`, (t) => {
    const cast = {
      processes: 2,
      starts: 2,
      releases: true,
      crashes: true,
      scheme,
      ...(scheme.before && { before: scheme.before }),
    };
    const guarantees = allGuarantees.filter(({ name }) => name === scheme.caughtBy);
    // A process that knows its pid is not like the other one.
    const run = scenario(scheme.name, cast, { guarantees, alike: scheme.name === 'pid file' ? 1 : 2 });
    for (const line of replay(run, expectToBreak(t, run, scheme.caughtBy))) t.diagnostic(line);
  });
}
