import type { Play } from '../tests/simulation/play.js';
import { otherPath } from '../tests/simulation/outsiders.js';
import { clientView, files, type FileRow } from '../tests/simulation/scene.js';
import { h } from './dom.js';
import { formatList, formatMode, formatPath } from './format.js';
import { guaranteeWords } from './words.js';

export function showClients(root: HTMLElement, play: Play, at: number): void {
  const moment = play.moment(at);
  const name = letters(play);
  const { reaches, errno, why, lost } = clientView(moment);
  const reasons = {
    nothing: 'nothing is at the path',
    'not-a-socket': 'the file at the path is not a socket',
    dead: 'the socket file is dead: no process is bound to it',
    'not-listening': 'the socket is bound, but does not listen yet',
    served: '',
  };
  const answer =
    reaches === undefined
      ? h('p', { class: 'client' }, h('strong', {}, errno), `, because ${reasons[why]}.`)
      : h('p', { class: 'client' }, 'reaches ', h('strong', { class: 'letter' }, name(reaches)), '.');
  const forgotten = lost.map((process) =>
    h(
      'p',
      { class: 'lost' },
      h('strong', { class: 'letter' }, name(process)),
      ' believes that it serves, but no client can reach it.',
    ),
  );
  root.replaceChildren(answer, ...forgotten);
}

export function showGuarantees(root: HTMLElement, play: Play, at: number): void {
  const broken = play.broken(at);
  root.replaceChildren(
    ...guaranteeWords.map(([name, words]) => {
      const breach = broken.get(name);
      return h(
        'li',
        { class: breach ? 'broken' : 'holds', 'data-guarantee': name },
        h('span', { class: 'light', 'aria-hidden': 'true' }),
        h('span', { class: 'name' }, h('b', {}, name), ` ${words}`),
        h('span', { class: 'state' }, breach ? `broken at step ${breach.at}` : 'holds'),
        breach && h('p', { class: 'why' }, `${breach.what.charAt(0).toUpperCase()}${breach.what.slice(1)}.`),
      );
    }),
  );
}

export function showFiles(root: HTMLTableElement, play: Play, at: number): void {
  const name = letters(play);
  const head = ['name', 'inode', 'mode', 'what it is'].map((title) => h('th', { scope: 'col' }, title));
  // The renamer's file exists in every scenario, and plays no part without the renamer.
  const shown = files(play.moment(at)).filter((file) => file.name !== otherPath || hasRenamer(play));
  const rows = shown.map((file) => {
    const label = file.name === undefined ? h('i', {}, 'no name') : h('code', {}, ...breakable(formatPath(file.name)));
    return h(
      'tr',
      { class: file.name === undefined ? 'nameless' : undefined },
      h('th', { scope: 'row' }, label),
      h('td', {}, String(file.ino)),
      h('td', {}, h('code', {}, formatMode(file.mode))),
      h('td', {}, describe(file, name)),
    );
  });
  root.replaceChildren(h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows));
}

function describe({ type, users, listening, lockedBy }: FileRow, name: (process: number) => string): string {
  const who = formatList(users.map(name));
  if (type === 'socket' && users.length === 0) return 'dead socket';
  if (type === 'socket') return `socket of ${who}${listening ? ', listening' : ''}`;
  if (lockedBy.length > 0) return `locked by ${formatList(lockedBy.map(name))}`;
  return users.length > 0 ? `${type}, open in ${who}` : type;
}

function hasRenamer({ scenario: { processes } }: Play): boolean {
  return processes.some(({ letter }) => letter === 'R');
}

/** Lets a line break before each dot. */
function breakable(name: string): (string | HTMLElement)[] {
  return name.split(/(?=[.-])/).flatMap((part) => [h('wbr'), part]);
}

function letters(play: Play): (process: number) => string {
  return (process) => play.scenario.processes[process]?.letter ?? '?';
}
