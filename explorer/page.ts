import { formatLink, parseLink, processesMax, type Linked, type Setting } from '../tests/simulation/link.js';
import type { Move } from '../tests/simulation/machine.js';
import { Play, playable, playables } from '../tests/simulation/play.js';
import { formatSchedule, parseSchedule } from '../tests/simulation/schedule.js';
import { byId, enable, h, onClick } from './dom.js';
import { formatCount, formatSeconds } from './format.js';
import { listenToKeys } from './keyboard.js';
import { Lanes, Log } from './lanes.js';
import { showClients, showFiles, showGuarantees } from './panels.js';
import { Searcher, type Report } from './search.js';
import { guaranteeWords, outsiderWords } from './words.js';

const stepMs = 900;
const linkDelayMs = 150;
/**
 * The length of a run without an end. (A start that waits indefinitely cannot move, and ends the
 * run.)
 */
const runMovesMax = 200;

export function startPage(script: string): void {
  new Page(script).start();
}

class Page {
  readonly #scheme = byId('scheme', HTMLSelectElement);
  readonly #directory = byId('directory', HTMLSelectElement);
  readonly #goal = byId('goal', HTMLSelectElement);
  readonly #speed = byId('speed', HTMLSelectElement);
  readonly #position = byId('position', HTMLInputElement);
  readonly #find = byId('find', HTMLButtonElement);
  readonly #playButton = byId('play', HTMLButtonElement);
  readonly #verdict = byId('verdict', HTMLElement);
  readonly #searcher: Searcher;
  readonly #lanes: Lanes;
  readonly #log: Log;
  #setting: Setting = { scheme: 'unlink-first', processes: 2, outsiders: '', stale: true };
  #play = new Play(this.#setting);
  #at = 0;
  /** The scheme for which the goal of the search was set. */
  #goalOf = '';
  #timer: ReturnType<typeof setTimeout> | undefined;
  #linkTimer: ReturnType<typeof setTimeout> | undefined;
  #link = '';

  constructor(script: string) {
    this.#searcher = new Searcher(script);
    this.#log = new Log(byId('log', HTMLElement), (at) => this.#go(at));
    this.#lanes = new Lanes(byId('lanes', HTMLElement), {
      step: (process) => this.#move({ process, crash: false }),
      crash: (process) => this.#move({ process, crash: true }),
      run: (process) => this.#run(process),
    });
  }

  start(): void {
    this.#buildSetup();
    this.#buildTransport();
    listenToKeys(byId('keys', HTMLInputElement), {
      move: (letter, crash) => this.#moveLetter(letter, crash),
      go: (by) => this.#go(Number.isFinite(by) ? this.#at + by : by < 0 ? 0 : this.#play.length),
      playOrPause: () => this.#playOrPause(),
    });
    addEventListener('hashchange', () => {
      if (location.hash !== this.#link) this.#openLink();
    });
    this.#openLink();
  }

  #buildSetup(): void {
    this.#scheme.append(...playables.map(({ key, name }) => h('option', { value: key }, name)));
    const goals = guaranteeWords.map(([name, words]) => h('option', { value: name }, `${name} ${words}`));
    this.#goal.append(h('option', { value: '' }, 'any guarantee'), ...goals);
    const chip = (type: string, name: string, value: string, label: string, title?: string): HTMLElement =>
      h('label', { class: 'chip', title }, h('input', { type, name, value }), h('span', {}, label));
    const counts = Array.from({ length: processesMax }, (_, i) => String(i + 1));
    byId('processes', HTMLElement).append(...counts.map((count) => chip('radio', 'processes', count, count)));
    const known = outsiderWords.filter(([letter]) => letter !== 'M');
    byId('outsiders', HTMLElement).append(
      ...known.map(([letter, name, what]) => chip('checkbox', 'outsiders', letter, `${letter} ${name}`, what)),
    );
    this.#scheme.addEventListener('change', () => {
      const scheme = this.#scheme.value;
      // Each scheme begins with the state that shows its known weakness best.
      this.#choose({ ...this.#setting, scheme, stale: scheme !== 'unlink-at-exit' });
    });
    this.#directory.addEventListener('change', () =>
      this.#choose({ ...this.#setting, stale: this.#directory.value === 'stale' }),
    );
    byId('processes', HTMLElement).addEventListener('change', () => {
      this.#choose({ ...this.#setting, processes: Number(checked('processes')[0]) });
    });
    byId('outsiders', HTMLElement).addEventListener('change', () => {
      this.#choose({ ...this.#setting, outsiders: checked('outsiders').join('') });
    });
    onClick(this.#find, () => (this.#searcher.isRunning ? this.#stopSearch('Stopped.') : this.#search()));
  }

  #buildTransport(): void {
    const speeds = [0.5, 1, 2, 4].map((speed) => h('option', { value: String(speed) }, `${speed}×`));
    this.#speed.append(...speeds);
    this.#speed.value = '1';
    const jumps = { first: () => 0, back: () => this.#at - 1, forward: () => this.#at + 1, last: () => this.#play.length };
    for (const [id, target] of Object.entries(jumps)) onClick(byId(id, HTMLButtonElement), () => this.#go(target()));
    onClick(this.#playButton, () => this.#playOrPause());
    this.#position.addEventListener('input', () => this.#go(Number(this.#position.value)));
    onClick(byId('clear', HTMLButtonElement), () => this.#choose(this.#setting));
    const copy = byId('copy', HTMLButtonElement);
    onClick(copy, () => {
      this.#writeLink();
      // A page from a file may have no clipboard. The address bar has the link too.
      navigator.clipboard.writeText(location.href).then(
        () => this.#say('', 'The link to this state is copied.'),
        () => this.#say('', 'The link to this state is in the address bar.'),
      );
    });
  }

  /** Shows another scenario, from its beginning. */
  #choose(setting: Setting): void {
    this.#open({ ...setting, schedule: '' });
  }

  #openLink(): void {
    if (location.hash.length < 2) {
      this.#choose(this.#setting);
      return;
    }
    try {
      this.#open(parseLink(location.hash));
    } catch (error) {
      this.#choose(this.#setting);
      this.#say(`This link cannot be shown.`, error instanceof Error ? error.message : String(error));
    }
  }

  #open({ schedule, at, ...setting }: Linked): void {
    const { about, caughtBy } = playable(setting.scheme);
    const play = new Play(setting);
    const moves = parseSchedule(play.scenario, schedule);
    const played = moves.findIndex((move) => !play.make(move));
    this.#stopSearch('');
    this.#pause();
    if (setting.scheme !== this.#goalOf) this.#goal.value = caughtBy ?? '';
    this.#goalOf = setting.scheme;
    this.#setting = setting;
    this.#play = play;
    this.#at = Math.min(at ?? play.length, play.length);
    this.#scheme.value = setting.scheme;
    this.#directory.value = setting.stale ? 'stale' : 'empty';
    byId('about', HTMLElement).textContent = about;
    check('processes', [String(setting.processes)]);
    check('outsiders', Array.from(setting.outsiders));
    this.#render();
    if (played >= 0) this.#say(`This schedule can be played only up to step ${played}.`, schedule);
  }

  #move(move: Move): void {
    this.#pause();
    if (!this.#play.can(this.#at, move)) return;
    this.#play.cut(this.#at);
    this.#play.make(move);
    this.#at = this.#play.length;
    this.#render();
    this.#announce();
  }

  #moveLetter(letter: string, crash: boolean): boolean {
    const process = this.#play.scenario.processes.findIndex((member) => member.letter === letter);
    if (process >= 0) this.#move({ process, crash });
    return process >= 0;
  }

  /** Runs until the process holds, is refused or has stopped; a holder stops first. */
  #run(process: number): void {
    this.#pause();
    this.#play.cut(this.#at);
    const phase = this.#play.phase(this.#at, process);
    for (let moves = 0; moves < runMovesMax && this.#play.make({ process, crash: false }); moves++)
      if (this.#play.phase(this.#play.length, process) !== phase) break;
    this.#at = this.#play.length;
    this.#render();
    this.#announce();
  }

  #go(at: number): void {
    this.#pause();
    this.#at = Math.max(0, Math.min(at, this.#play.length));
    this.#render();
    this.#announce();
  }

  /** Announces the last step to screen readers. */
  #announce(): void {
    byId('said', HTMLElement).textContent = document.querySelector('.row.now')?.textContent ?? 'Before the first step.';
  }

  #playOrPause(): void {
    if (this.#timer !== undefined) {
      this.#pause();
      this.#render();
      return;
    }
    if (this.#play.length === 0) return;
    if (this.#at === this.#play.length) this.#at = 0;
    this.#schedule();
    this.#render();
  }

  #schedule(): void {
    this.#timer = setTimeout(
      () => {
        this.#at++;
        if (this.#at < this.#play.length) this.#schedule();
        else this.#timer = undefined;
        this.#render();
      },
      stepMs / Number(this.#speed.value),
    );
  }

  #pause(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #search(): void {
    this.#pause();
    // Two lives show the effect of a restart; with three or more processes the others are the
    // restart.
    const crowd = this.#setting.processes > 2 || (this.#setting.processes === 2 && this.#setting.outsiders.length > 1);
    const starts = crowd ? 1 : 2;
    const guarantee = this.#goal.value;
    this.#find.textContent = 'Stop';
    this.#say('Searching…');
    this.#verdict.dataset['outcome'] = 'searching';
    // A screen reader would read out each report of the progress.
    this.#verdict.setAttribute('aria-busy', 'true');
    const search = { setting: this.#setting, starts, ...(guarantee !== '' && { guarantee }) };
    this.#searcher.start(search, (report) => this.#told(report, starts, guarantee));
  }

  #stopSearch(headline: string, rest = ''): void {
    this.#searcher.stop();
    this.#find.textContent = 'Find a failure';
    this.#verdict.removeAttribute('aria-busy');
    delete this.#verdict.dataset['outcome'];
    this.#say(headline, rest);
  }

  #say(headline: string, rest = ''): void {
    this.#verdict.replaceChildren(headline === '' ? '' : h('strong', {}, headline), rest === '' ? '' : ` ${rest}`);
  }

  #told(report: Report, starts: number, guarantee: string): void {
    if (report.kind === 'progress') {
      this.#say('Searching…', `${formatCount(report.states)} states, ${report.steps} steps deep.`);
      return;
    }
    const what = guarantee === '' ? 'No guarantee' : guarantee;
    const breaks = guarantee === '' ? 'breaks' : 'does not break';
    const lives = starts === 1 ? 'once' : 'twice';
    if (report.kind === 'failed') this.#stopSearch(`The search failed: ${report.message}`);
    else if (report.kind === 'too-many')
      this.#stopSearch(
        `${what} ${breaks} in the first ${formatCount(report.states)} states.`,
        'There are too many more for a page.',
      );
    else if (report.kind === 'holds') {
      const { states, transitions, steps, seconds } = report;
      const each = this.#setting.processes === 1 ? 'It starts' : 'Each process starts';
      this.#stopSearch(
        `${what} ${breaks} in any of the ${formatCount(states)} states.`,
        `${formatCount(transitions)} transitions, up to ${steps} steps deep, in ${formatSeconds(seconds)}. ` +
          `${each} ${lives}, and may crash before and after any call.`,
      );
    } else this.#showFailure(report);
    this.#verdict.dataset['outcome'] = report.kind;
  }

  #showFailure({ states, seconds, guarantee, schedule }: Extract<Report, { kind: 'holds' | 'breaks' }>): void {
    this.#open({ ...this.#setting, schedule: schedule ?? '' });
    const [name, words] = guaranteeWords.find(([known]) => known === guarantee)!;
    const { length } = this.#play;
    const hole = playable(this.#setting.scheme).caughtBy === undefined && /[LM]/.test(this.#setting.outsiders);
    this.#say(
      `${name} ${words} breaks after ${length} steps, and in no fewer.`,
      `${formatCount(states)} states, ${formatSeconds(seconds)}.` +
        (hole ? ' This is the known hole: a lock file that is removed while it is locked.' : ''),
    );
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) return;
    this.#at = 0;
    this.#schedule();
    this.#render();
  }

  #render(): void {
    const [play, at] = [this.#play, this.#at];
    // Comes before the log: the height of its rows depends on the width of the lanes.
    document.documentElement.style.setProperty('--lanes', String(play.scenario.processes.length));
    this.#lanes.show(play, at);
    this.#log.show(play, at);
    showClients(byId('clients', HTMLElement), play, at);
    showGuarantees(byId('guarantees', HTMLElement), play, at);
    showFiles(byId('files', HTMLTableElement), play, at);
    this.#position.max = String(play.length);
    this.#position.value = String(at);
    this.#position.setAttribute('aria-valuetext', `step ${at} of ${play.length}`);
    byId('count', HTMLOutputElement).textContent = `${at} of ${play.length}`;
    this.#playButton.textContent = this.#timer === undefined ? 'Play' : 'Pause';
    enable(this.#playButton, play.length > 0);
    for (const id of ['first', 'back']) enable(byId(id, HTMLButtonElement), at > 0);
    for (const id of ['forward', 'last']) enable(byId(id, HTMLButtonElement), at < play.length);
    clearTimeout(this.#linkTimer);
    // Browsers limit how often the address changes.
    this.#linkTimer = setTimeout(() => this.#writeLink(), linkDelayMs);
  }

  #writeLink(): void {
    const schedule = formatSchedule(this.#play.scenario, this.#play.moves);
    const partly = this.#at < this.#play.length && this.#timer === undefined;
    this.#link = formatLink({ ...this.#setting, schedule, ...(partly && { at: this.#at }) });
    if (location.hash !== this.#link) history.replaceState(null, '', this.#link);
  }
}

function checked(name: string): string[] {
  const inputs = document.querySelectorAll<HTMLInputElement>(`input[name=${name}]:checked`);
  return Array.from(inputs, ({ value }) => value);
}

function check(name: string, values: readonly string[]): void {
  const inputs = document.querySelectorAll<HTMLInputElement>(`input[name=${name}]`);
  for (const input of inputs) input.checked = values.includes(input.value);
}
