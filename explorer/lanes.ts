import type { Play, Told } from '../tests/simulation/play.js';
import { enable, h, onClick } from './dom.js';
import { formatAnswer, formatArguments, isErrno } from './format.js';
import { doingWords, guaranteeWords, outsiderWords } from './words.js';

export interface Actions {
  readonly step: (process: number) => void;
  readonly run: (process: number) => void;
  readonly crash: (process: number) => void;
}

interface Lane {
  readonly doing: HTMLElement;
  readonly next: HTMLElement;
  readonly step: HTMLButtonElement;
  readonly run: HTMLButtonElement;
  readonly crash: HTMLButtonElement;
}

/** The head of each process's lane: its state, its next call, and the buttons that move it. */
export class Lanes {
  readonly #root: HTMLElement;
  readonly #actions: Actions;
  #play: Play | undefined;
  #lanes: readonly Lane[] = [];

  constructor(root: HTMLElement, actions: Actions) {
    this.#root = root;
    this.#actions = actions;
  }

  show(play: Play, at: number): void {
    if (play !== this.#play) this.#build(play);
    const { standings } = play.moment(at);
    for (const [process, lane] of this.#lanes.entries()) {
      const { doing } = standings[process]!;
      const call = play.nextCall(at, process);
      const canStep = play.can(at, { process, crash: false });
      lane.doing.textContent = doingWords[doing];
      lane.doing.dataset['doing'] = doing;
      lane.next.replaceChildren(...(call ? [canStep ? 'next ' : 'waits in ', code(call)] : ['no more calls']));
      const moved = play.told.slice(0, at).some(({ move }) => move.process === process);
      lane.step.textContent = stepWord(doing, moved);
      enable(lane.step, canStep);
      enable(lane.run, canStep);
      enable(lane.crash, play.can(at, { process, crash: true }));
    }
  }

  #build(play: Play): void {
    this.#play = play;
    this.#lanes = play.scenario.processes.map(({ letter }, process) => {
      const button = (label: string, title: string, act: (process: number) => void): HTMLButtonElement => {
        const element = h('button', { type: 'button', 'aria-label': `${letter}: ${label}`, title }, label);
        onClick(element, () => act(process));
        return element;
      };
      return {
        doing: h('span', { class: 'doing' }),
        next: h('p', { class: 'next' }),
        step: button('Step', `One system call (${letter})`, this.#actions.step),
        run: button('Run', 'Run until it holds, is refused or has stopped', this.#actions.run),
        crash: button('Crash', `kill -9 (Shift+${letter})`, this.#actions.crash),
      };
    });
    this.#root.replaceChildren(
      ...this.#lanes.map(({ doing, next, step, run, crash }, process) => {
        const { letter } = play.scenario.processes[process]!;
        step.removeAttribute('aria-label');
        const who = outsiderWords.find(([known]) => known === letter);
        const title = h('h2', {}, h('span', { class: 'letter' }, letter), who ? h('span', { class: 'who' }, who[1]) : undefined);
        const buttons = h('div', { class: 'buttons' }, step, run, crash);
        return h(
          'section',
          { class: 'lane', 'aria-label': `Process ${letter}` },
          h('div', { class: 'head' }, title, doing),
          next,
          buttons,
        );
      }),
    );
  }
}

function stepWord(doing: keyof typeof doingWords, moved: boolean): string {
  if (doing === 'holding') return 'Stop';
  if (doing !== 'idle') return 'Step';
  return moved ? 'Start again' : 'Start';
}

/** The moves, a row for each, in the lane of the process that made it. */
export class Log {
  readonly #root: HTMLElement;
  readonly #go: (at: number) => void;
  #rows: { readonly told: Told; readonly element: HTMLElement }[] = [];

  constructor(root: HTMLElement, go: (at: number) => void) {
    this.#root = root;
    this.#go = go;
  }

  show(play: Play, at: number): void {
    const same = this.#rows.findIndex(({ told }, index) => told !== play.told[index]);
    for (const { element } of this.#rows.splice(same < 0 ? this.#rows.length : same)) element.remove();
    const { processes } = play.scenario;
    for (const told of play.told.slice(this.#rows.length)) {
      const letters = processes.map(({ letter }) => letter);
      const element = this.#row(this.#rows.length + 1, letters, told);
      this.#rows.push({ told, element });
      this.#root.append(element);
    }
    for (const [index, { element }] of this.#rows.entries()) {
      element.classList.toggle('future', index >= at);
      element.classList.toggle('now', index === at - 1);
    }
    this.#reveal(this.#rows[at - 1]?.element);
  }

  #row(number: number, letters: readonly string[], { move, calls, event, broken }: Told): HTMLElement {
    const jump = h(
      'button',
      { type: 'button', class: 'number', tabindex: '-1', 'aria-label': `To step ${number}` },
      String(number),
    );
    jump.addEventListener('click', () => this.#go(number));
    const lines = calls.map(({ call, answer }) =>
      h(
        'p',
        { class: 'call' },
        code(call),
        h('span', { class: isErrno(answer) ? 'answer errno' : 'answer' }, ` = ${formatAnswer(answer)}`),
      ),
    );
    const cell = h(
      'div',
      { class: 'cell mine' },
      h('span', { class: 'letter' }, letters[move.process]),
      h('div', {}, ...lines, event !== undefined && h('p', { class: move.crash ? 'event crash' : 'event' }, event)),
    );
    const cells = letters.map((_letter, process) => (process === move.process ? cell : h('div', { class: 'cell' })));
    const notes = broken.map(({ guarantee, what }) => {
      const words = guaranteeWords.find(([name]) => name === guarantee)?.[1] ?? '';
      return h('p', { class: 'breach' }, h('strong', {}, `${guarantee} ${words}`), ` is broken: ${what}.`);
    });
    return h('li', { class: broken.length > 0 ? 'row broken' : 'row' }, jump, ...cells, ...notes);
  }

  /** Scrolls the log and the lanes alone, never the page. */
  #reveal(row: HTMLElement | undefined): void {
    const root = this.#root;
    if (!row) root.scrollTop = 0;
    else if (row.offsetTop < root.scrollTop) root.scrollTop = row.offsetTop;
    else if (row.offsetTop + row.offsetHeight > root.scrollTop + root.clientHeight)
      root.scrollTop = row.offsetTop + row.offsetHeight - root.clientHeight;

    const [cell, lanes] = [row?.querySelector<HTMLElement>('.mine'), root.parentElement];
    if (!cell || !lanes) return;
    const right = cell.offsetLeft + cell.offsetWidth;
    if (cell.offsetLeft < lanes.scrollLeft) lanes.scrollLeft = cell.offsetLeft;
    else if (right > lanes.scrollLeft + lanes.clientWidth) lanes.scrollLeft = right - lanes.clientWidth;
  }
}

function code(call: Parameters<typeof formatArguments>[0]): HTMLElement {
  // A long argument list may break here.
  const args = formatArguments(call)
    .split(/(?<=[|.])/)
    .flatMap((part) => [part, h('wbr')]);
  return h('code', {}, h('b', {}, call.name), '(', ...args, ')');
}
