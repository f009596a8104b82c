import type { Conversation } from '#dist/kernel/kernel.js';
import {
  copyHandoverWorld,
  endProcess,
  handoverCall,
  isQuiet,
  settleHandover,
  waits,
  type HandoverWorld,
} from './handoverWorld.js';

export interface HandoverScenario {
  readonly world: HandoverWorld;
  /** The work of each process from the start on. Made again for each replay. */
  readonly lives: readonly (() => Conversation<unknown>)[];
  readonly letters: string;
  /** A violation: a sentence that says what is wrong. */
  readonly check: (after: HandoverWorld, before: HandoverWorld, mover: number, call: string) => string | undefined;
  /** Which of them may die. */
  readonly crashes: string;
}

export interface HandoverExploration {
  readonly states: number;
  readonly transitions: number;
  readonly steps: number;
  readonly violation?: { readonly what: string; readonly schedule: string; readonly told: readonly string[] };
}

interface Position {
  readonly answers: readonly unknown[];
  readonly call: { readonly name: string; readonly args: readonly unknown[] } | undefined;
}

interface Reached {
  readonly world: HandoverWorld;
  readonly positions: readonly number[];
  readonly parent: number;
  readonly steps: number;
  readonly move: string;
}

const crash = '!';
const choices = ['', 'timeout', 'abandon', 'release'] as const;

/**
 * Visits every state, the nearest first, until one is wrong. Each process is the production code,
 * run again up to where it is.
 */
export function exploreHandover(scenario: HandoverScenario, statesMax = 3_000_000): HandoverExploration {
  const positions: Position[] = [];
  const known = new Map<string, number>();
  const positionOf = (process: number, answers: readonly unknown[]): number => {
    const key = `${process} ${write(answers)}`;
    let id = known.get(key);
    if (id === undefined) {
      id = positions.push({ answers, call: pendingCall(scenario.lives[process]!(), answers) }) - 1;
      known.set(key, id);
    }
    return id;
  };
  const after = new Map<string, number>();
  const next = (process: number, position: number, answer: unknown): number => {
    const key = `${position} ${write(answer)}`;
    let id = after.get(key);
    if (id === undefined) after.set(key, (id = positionOf(process, [...positions[position]!.answers, answer])));
    return id;
  };
  const ended = positions.push({ answers: [], call: undefined }) - 1;

  const states: Reached[] = [];
  const seen = new Map<string, number>();
  let transitions = 0;
  const starts = scenario.lives.map((_life, process) => positionOf(process, []));
  const initial = settleHandover(copyHandoverWorld(scenario.world));
  states.push({ world: initial, positions: starts, parent: -1, steps: 0, move: '' });
  seen.set(keyOf(initial, starts), 0);

  for (let id = 0; id < states.length; id++) {
    const { world, positions: at, steps } = states[id]!;
    for (let process = 0; process < at.length; process++) {
      for (const choice of [...choices, crash]) {
        const moved = move(process, choice, world, at);
        if (moved === undefined) continue;
        transitions++;
        const key = keyOf(moved.world, moved.positions);
        if (!moved.wrong && seen.has(key)) continue;
        seen.set(key, states.length);
        states.push({ ...moved, parent: id, steps: steps + 1, move: `${scenario.letters[process]}${choice}` });
        if (moved.wrong !== undefined)
          return { states: states.length, transitions, steps: steps + 1, violation: tell(moved.wrong) };
        if (states.length > statesMax) throw new Error(`more than ${statesMax} states`);
      }
    }
  }
  return { states: states.length, transitions, steps: states.at(-1)!.steps };

  function move(process: number, choice: string, from: HandoverWorld, at: readonly number[]) {
    const { call } = positions[at[process]!]!;
    if (call === undefined) return undefined;
    if (choice === crash) {
      if (!scenario.crashes.includes(scenario.letters[process]!)) return undefined;
      const world = copyHandoverWorld(from);
      endProcess(world, process);
      return finish(settleHandover(world), from, process, 'crash', at.with(process, ended));
    }
    if (!isOpen(choice, call)) return undefined;
    let position = at[process]!;
    let world = from;
    let wrong: string | undefined;
    for (let first = true; ; first = false) {
      const pending = positions[position]!.call;
      if (pending === undefined || (!first && !isQuiet(pending.name))) break;
      const changed = copyHandoverWorld(world);
      const answer = handoverCall(changed, process, pending.name, pending.args, first ? choice : '');
      if (answer === waits) return undefined;
      const settled = settleHandover(changed);
      wrong ??= scenario.check(settled, world, process, `${pending.name} ${write(pending.args)}`);
      world = settled;
      position = next(process, position, answer);
    }
    return { world, positions: at.with(process, position), wrong };
  }

  function finish(world: HandoverWorld, from: HandoverWorld, process: number, name: string, at: readonly number[]) {
    return { world, positions: at, wrong: scenario.check(world, from, process, name) };
  }

  function tell(what: string): NonNullable<HandoverExploration['violation']> {
    const way: number[] = [];
    for (let id = states.length - 1; id > 0; id = states[id]!.parent) way.unshift(id);
    const told = way.map((id) => {
      const { move: made, parent } = states[id]!;
      const process = scenario.letters.indexOf(made[0]!);
      const call = positions[states[parent]!.positions[process]!]!.call;
      return `${made}  ${made.endsWith(crash) ? 'dies' : `${call?.name} ${write(call?.args)}`}`;
    });
    return { what, schedule: way.map((id) => states[id]!.move).join(' '), told };
  }
}

/**
 * A poll may time out, or be called off by a release; a holder that waits for new processes may be
 * told to release.
 */
function isOpen(choice: string, { name, args }: { readonly name: string; readonly args: readonly unknown[] }): boolean {
  if (choice === '') return true;
  if (name === 'accept') return choice === 'release';
  if (name !== 'poll') return false;
  // Only the holder's waits can be called off; it is those that are named so.
  return choice === 'timeout' || (choice === 'abandon' && args[2] === 'abandonable');
}

function pendingCall(life: Conversation<unknown>, answers: readonly unknown[]): Position['call'] {
  let step = life.next();
  for (const answer of answers) step = life.next(answer);
  return step.done ? undefined : step.value;
}

function keyOf(world: HandoverWorld, positions: readonly number[]): string {
  return `${positions.join()} ${JSON.stringify(world)}`;
}

function write(value: unknown): string {
  return (
    JSON.stringify(value, (_key, one: unknown) =>
      typeof one === 'bigint' ? Number(one) : one === Infinity ? 'for ever' : one,
    ) ?? ''
  );
}
