import { explore } from './explore.js';
import { formatSchedule, replay } from './schedule.js';
import { scenario, place, staleSocket, unlinksLockUnderStarter as excludes, unlinksLockedFile as wide } from './scenarios.js';
import type { Member, Scenario } from './machine.js';
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

const cast: Record<string, Member> = { K, U: unlinkPath, S, T, R, L: unlinkLock, M: { letter: 'M', life: unlinker(place.lockPath) }, V: {...T, letter: 'V'} };
const [, , kind, letters, ex, starts, releases, crashes, record] = process.argv;
const outsiders = [...letters!.replace('-', '')].map((l) => cast[l]!);
const more = ex === 'x' ? { excludes } : ex === 'w' ? { excludes: wide } : {};
void record;
go(scenario(process.argv.slice(2).join(' '), { processes: Number(kind), starts: Number(starts), releases: releases === 'r', crashes: crashes === 's' ? 'slowly' : crashes === 'c', outsiders, before: letters!.includes('R') ? withFile : staleSocket }, more), true);
