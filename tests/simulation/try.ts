import { explore } from './explore.js';
import { formatSchedule, replay } from './schedule.js';
import { scenario, place, staleSocket, unlinksLockUnderStarter as excludes } from './scenarios.js';
import type { Scenario } from './machine.js';
import { cleaner, renamer, stranger, unlinker } from './outsiders.js';
import { putFile, type World } from './world.js';

function go(s: Scenario, show = true): void {
  const t = performance.now();
  const e = explore(s);
  console.log(s.name, e.states, e.transitions, e.steps, e.schedules?.toExponential(2), ((performance.now() - t) / 1000).toFixed(1) + 's', (process.memoryUsage().rss / 1e6).toFixed(0) + 'MB');
  if (e.violation && show) {
    const text = formatSchedule(s, e.violation.moves);
    console.log('  ', e.violation.guarantee, e.violation.what, '\n  ', e.violation.moves.length, text);
    console.log(replay(s, text).map((l) => '     ' + l).join('\n'));
  }
}
void [cleaner, renamer, stranger, unlinker, putFile];

const unlinkLock = { letter: 'L', life: unlinker(place.lockPath) };
const unlinkPath = { letter: 'U', life: unlinker(place.path) };
const S = { letter: 'S', life: stranger(place, false) };
const T = { letter: 'T', life: stranger(place, true) };
const K = { letter: 'K', life: cleaner(place) };
const R = { letter: 'R', life: renamer('/run/other', place.path) };
const withFile = (w: World): World => putFile(staleSocket(w), '/run/other', 'file', 'precious');
const two = { processes: 2, starts: 2, releases: true, crashes: true } as const;
const three = { processes: 3, starts: 1, releases: true, crashes: true } as const;
const only = process.argv[2];
function maybe(name: string, f: () => Scenario): void { if (!only || name.includes(only)) go(f()); }
maybe('two K', () => scenario('two K', { ...two, outsiders: [K] }));
maybe('two U', () => scenario('two U', { ...two, outsiders: [unlinkPath] }));
maybe('two S', () => scenario('two S', { ...two, outsiders: [S] }));
maybe('two T', () => scenario('two T', { ...two, outsiders: [T] }));
maybe('two R', () => scenario('two R', { ...two, outsiders: [R], before: withFile }));
maybe('two  L', () => scenario('two L', { ...two, outsiders: [unlinkLock] }));
maybe('three  L', () => scenario('three L', { ...three, outsiders: [unlinkLock] }));
maybe('two TR', () => scenario('two TR', { ...two, outsiders: [T, R], before: withFile }));
maybe('two TU', () => scenario('two TU', { ...two, outsiders: [T, unlinkPath] }));
maybe('three T', () => scenario('three T', { ...three, outsiders: [T] }));

maybe('two Lx', () => scenario('two Lx', { ...two, outsiders: [unlinkLock] }, { excludes }));
maybe('three Lx', () => scenario('three Lx', { ...three, outsiders: [unlinkLock] }, { excludes }));
maybe('two LTx', () => scenario('two LTx', { ...two, outsiders: [unlinkLock, T] }, { excludes }));
maybe('two LUx', () => scenario('two LUx', { ...two, outsiders: [unlinkLock, unlinkPath] }, { excludes }));
maybe('two LLx', () => scenario('two LLx', { ...two, outsiders: [unlinkLock, { letter: 'M', life: unlinker(place.lockPath) }] }, { excludes }));
maybe('two KS', () => scenario('two KS', { ...two, outsiders: [K, S] }, { excludes }));
maybe('two TT', () => scenario('two TT', { ...two, outsiders: [T, {...T, letter: 'V'}] }, { excludes }));
