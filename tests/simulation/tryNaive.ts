import { explore } from './explore.js';
import { formatSchedule, replay } from './schedule.js';
import { scenario } from './scenarios.js';
import { naiveSchemes } from './naive.js';
import { alwaysRestarts, noTheft, oneHolder } from './guarantees.js';
for (const scheme of naiveSchemes) {
  const s = scenario(scheme.name, { processes: 2, starts: 2, releases: true, crashes: true, scheme }, { guarantees: [oneHolder, noTheft, alwaysRestarts], ...(scheme.name === 'pid file' && { alike: 1 }) });
  const e = explore(s);
  console.log(scheme.name, e.states, e.violation?.guarantee, e.violation?.what, e.violation && formatSchedule(s, e.violation.moves));
  if (e.violation) console.log(replay(s, formatSchedule(s, e.violation.moves)).map((l) => '   ' + l).join('\n'));
}
