import { AT_FDCWD, type FileStatus, type SystemCall } from '#dist/kernel/kernel.js';
import { Machine, type Move, type Scenario } from './machine.js';
import { halfway } from './systemCalls.js';

/**
 * Moves as text that can be pasted back: `A3 B7 !A B2` is three steps of A, seven of B, a crash of
 * A, two steps of B.
 */
export function formatSchedule(scenario: Scenario, moves: readonly Move[]): string {
  const words: string[] = [];
  let steps = 0;
  for (const [index, { process, crash }] of moves.entries()) {
    const { letter } = scenario.processes[process]!;
    if (crash) words.push(`!${letter}`);
    else steps++;
    const next = moves[index + 1];
    if (crash || (next && !next.crash && next.process === process)) continue;
    words.push(`${letter}${steps}`);
    steps = 0;
  }
  return words.join(' ');
}

export function parseSchedule(scenario: Scenario, text: string): Move[] {
  return text
    .split(/\s+/)
    .filter(Boolean)
    .flatMap((word) => {
      const [, crash, letter, count] = /^(!?)([A-Z])(\d*)$/.exec(word) ?? [];
      const process = scenario.processes.findIndex((member) => member.letter === letter);
      if (process < 0) throw new Error(`"${word}" is no move of ${scenario.name}`);
      return Array.from({ length: crash ? 1 : Number(count || 1) }, () => ({ process, crash: crash === '!' }));
    });
}

/**
 * Runs a schedule again and tells it, a line for each system call: who, which call, which answer.
 */
export function replay(scenario: Scenario, schedule: string): string[] {
  const machine = new Machine(scenario);
  const lines: string[] = [];
  let state = machine.initial();
  for (const move of parseSchedule(scenario, schedule)) {
    const { letter } = scenario.processes[move.process]!;
    machine.watch = ({ call, answer }) => lines.push(`${letter}  ${formatCall(call)} = ${formatAnswer(answer)}`);
    const [before, next] = [machine.position(state, move.process), state.slice()];
    if (!machine.move(state, move, next)) throw new Error(`${letter} cannot move after:\n${lines.join('\n')}`);
    state = next;
    if (move.crash) lines.push(`${letter}  dies`);
    const { standing, phase, wrong } = machine.position(state, move.process);
    if (!move.crash && phase.key !== before.phase.key) lines.push(`${letter}  is ${wrong ?? standing.doing}`);
  }
  return lines;
}

function formatCall({ name, args: given }: SystemCall): string {
  const args = given[0] === AT_FDCWD ? given.slice(1) : given;
  return `${name}(${args.map((arg: unknown) => (typeof arg === 'string' ? arg : JSON.stringify(arg))).join(', ')})`;
}

function formatAnswer(answer: unknown): string {
  if (answer === halfway) return '… (halfway)';
  if (typeof answer !== 'object' || answer === null) return String(answer);
  const { type, ino, nlink, size, mode, text } = answer as Partial<FileStatus & { text: string }>;
  if (text !== undefined) return JSON.stringify(text);
  return type === undefined ? `inode ${ino}` : `${type}, inode ${ino}, mode ${mode!.toString(8)}, ${nlink} links, ${size} bytes`;
}
