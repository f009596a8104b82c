import { allGuarantees, strayUndisturbed } from './guarantees.js';
import { explore } from './explore.js';
import { formatSchedule } from './schedule.js';
import { scenario, place, staleSocket } from './scenarios.js';
import { cleaner, renamer, stranger, unlinker } from './outsiders.js';
import { putFile, type World } from './world.js';
import { mutants } from './mutants.js';
import { mutate } from './mutate.js';
import type { Member } from './machine.js';

const T = { letter: 'T', life: stranger(place, true) };
const cast: Record<string, Member> = { K: { letter: 'K', life: cleaner(place) }, U: { letter: 'U', life: unlinker(place.path) }, S: { letter: 'S', life: stranger(place, false) }, T, R: { letter: 'R', life: renamer('/run/other', place.path) }, L: { letter: 'L', life: unlinker(place.lockPath) }, V: { ...T, letter: 'V' } };
for (const m of mutants) {
  if (process.argv[2] && !m.name.includes(process.argv[2])) continue;
  const scheme = await mutate(m.name, m.edits);
  for (const set of process.argv[3] ? [process.argv[3]] : [m.outsiders]) for (const processes of [1, 2]) {
    const t = performance.now();
    const s = scenario(m.name, { processes, starts: 2, releases: true, crashes: true, scheme, outsiders: [...set.replace('E', '').replace('-', '')].map((l) => cast[l]!), before: (w: World) => {
      const x = staleSocket(w);
      const y = set.includes('R') ? putFile(x, '/run/other', 'file', 'precious') : x;
      return set.includes('E') ? { ...y, flockErrno: 'ENOLCK' } : y;
    } }, { guarantees: [...allGuarantees, ...(/^[SK]*$/.test(set) ? [strayUndisturbed] : [])].filter(({ name }) => !(process.env['NO'] ?? '').includes(name)) });
    try {
      const e = explore(s, 3_000_000);
      console.log(m.name, '|', processes, set, '|', e.states, ((performance.now() - t) / 1000).toFixed(1) + 's', e.violation ? `${e.violation.guarantee} ${e.violation.what} [${e.violation.moves.length}] ${formatSchedule(s, e.violation.moves)}` : 'NOT CAUGHT');
      if (e.violation) break;
    } catch (error) { console.log(m.name, processes, set, String(error).slice(0, 200)); }
  }
}
