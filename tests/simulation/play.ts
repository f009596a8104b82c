import type { SystemCall } from '#dist/kernel/kernel.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { Checks, type Breach } from './checks.js';
import { advance } from './frames.js';
import type { Guarantee } from './guarantees.js';
import type { Scheme } from './lives.js';
import type { Setting } from './link.js';
import { Machine, type Move, type Scenario, type State } from './machine.js';
import { naiveSchemes } from './naive.js';
import type { Past } from './process.js';
import { production, scenario, standby } from './scenarios.js';
import { halfway } from './systemCalls.js';

/** A scheme that can be played. */
export interface Playable {
  readonly key: string;
  readonly name: string;
  readonly about: string;
  readonly scheme: Scheme;
  /** The guarantee that it is known to break. */
  readonly caughtBy?: Guarantee['name'];
}

export const playables: readonly Playable[] = [
  { key: 'reuseaddr', name: 'reuseaddr', about: 'The production code, as it is published.', scheme: production },
  {
    key: 'standby',
    name: 'reuseaddr, waiting',
    about: 'The same, with wait: a start sleeps until it gets the lock.',
    scheme: standby,
  },
  ...naiveSchemes.map((scheme) => ({
    key: scheme.key,
    name: scheme.name,
    about: `Used by ${scheme.usedBy}.`,
    scheme,
    caughtBy: scheme.caughtBy,
  })),
];

export function playable(key: string): Playable {
  const found = playables.find((candidate) => candidate.key === key);
  if (!found) throw new Error(`There is no scheme "${key}". There are: ${playables.map((each) => each.key).join(', ')}.`);
  return found;
}

/** More often than a user will start a process by hand. */
const startsByHand = 99;

/**
 * The scenario of a setting. `starts`: how often each process starts; by hand as often as one
 * likes.
 */
export function scenarioOf(setting: Setting, starts: number = startsByHand): Scenario {
  const { name, scheme } = playable(setting.scheme);
  const cast = { processes: setting.processes, starts, releases: true, crashes: true, scheme, with: setting.outsiders };
  const run = scenario(name, { ...cast, ...(!setting.stale && { before: (empty) => empty }) });
  // A process that knows its pid is not like another one.
  return setting.scheme === 'pid-file' ? { ...run, alike: 1 } : run;
}

/** The report of a move: its system calls, and their results. */
export interface Told {
  readonly move: Move;
  readonly calls: readonly Past[];
  /** Undefined where the process is in the middle of something. */
  readonly event?: string;
  /** The guarantees that this move broke. */
  readonly broken: readonly Breach[];
}

/** Moves, made one after another, and what the guarantees say after each. */
export class Play {
  readonly scenario: Scenario;
  readonly told: Told[] = [];
  readonly #machine: Machine;
  readonly #checks: Checks;
  readonly #states: State[];

  constructor(setting: Setting) {
    this.scenario = scenarioOf(setting);
    this.#machine = new Machine(this.scenario);
    this.#checks = new Checks(this.#machine, true);
    this.#states = [this.#machine.initial()];
  }

  get length(): number {
    return this.told.length;
  }

  get moves(): Move[] {
    return this.told.map(({ move }) => move);
  }

  /** The machine in its state after so many moves. */
  moment(at: number): ReturnType<Machine['moment']> {
    return this.#machine.moment(this.#states[at]!);
  }

  /** The next call of a process after so many moves, if it has one. */
  nextCall(at: number, process: number): SystemCall | undefined {
    return this.#machine.position(this.#states[at]!, process).call;
  }

  can(at: number, move: Move): boolean {
    return this.#machine.move(this.#states[at]!, move, this.#states[at]!.slice());
  }

  /**
   * The position of a process within its life: changes when a start or a release begins or ends.
   */
  phase(at: number, process: number): string {
    return this.#machine.position(this.#states[at]!, process).phase.key;
  }

  /** The guarantees that were broken in the first `at` moves, and by which of them. */
  broken(at: number): Map<string, { readonly what: string; readonly at: number }> {
    const broken = new Map<string, { readonly what: string; readonly at: number }>();
    for (const [index, told] of this.told.slice(0, at).entries())
      for (const { guarantee, what } of told.broken) broken.set(guarantee, { what, at: index + 1 });
    return broken;
  }

  /** Forgets all moves but the first so many. */
  cut(at: number): void {
    this.told.length = at;
    this.#states.length = at + 1;
  }

  /** Makes a move after all others. False: it can't be made now. */
  make(move: Move): boolean {
    const from = this.#states.at(-1)!;
    const to = from.slice();
    const calls: Past[] = [];
    this.#machine.watch = (past) => calls.push(past);
    const made = this.#machine.move(from, move, to);
    this.#machine.watch = undefined;
    if (!made) return false;
    const before = this.broken(this.length);
    const broken = new Map<string, Breach>();
    for (const breach of [...this.#checks.inStep(from, move, to), ...this.#checks.inState(to)])
      if (!before.has(breach.guarantee) && !broken.has(breach.guarantee)) broken.set(breach.guarantee, this.#named(breach));
    this.#states.push(to);
    const event = this.#event(from, move, to, calls);
    this.told.push({ move, calls, broken: [...broken.values()], ...(event !== undefined && { event }) });
    return true;
  }

  /** Guarantees count processes, people call them by their letters. */
  #named({ guarantee, what }: Breach): Breach {
    const letter = (process: string): string => this.scenario.processes[Number(process)]?.letter ?? process;
    const named = what
      .replace(/\bprocesses (\d+(?: and \d+)*)/g, (_all, list: string) => list.replace(/\d+/g, letter))
      .replace(/\bprocess (\d+)/g, (_all, process: string) => letter(process))
      .replace(/is refused: (\{.*\})$/, (_all, refusal: string) => whyRefused(JSON.parse(refusal)));
    return { guarantee, what: named };
  }

  #event(from: State, { process, crash }: Move, to: State, calls: readonly Past[]): string | undefined {
    if (crash) return 'dies';
    const [before, after] = [this.#machine.position(from, process), this.#machine.position(to, process)];
    if (before.phase.key === after.phase.key) return undefined;
    if (after.standing.doing === 'holding') return 'holds the address';
    if (before.standing.role === 'outsider') return 'is done';
    if (before.standing.claim !== undefined) return 'has stopped';
    const answers = [...before.past, ...calls].flatMap(({ answer }) => (answer === halfway ? [] : [answer]));
    const { step } = advance(before.phase.begin!, answers);
    return step.done ? whyRefused(step.value) : undefined;
  }
}

function whyRefused(outcome: unknown): string {
  return isRefusal(outcome) ? `is refused: ${outcome.refused} (${outcome.errno})` : 'gives up';
}
