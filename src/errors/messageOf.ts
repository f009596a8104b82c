import type { FrontEnd, Words } from './advice.js';
import type { Facts } from './facts.js';
import { reasons, type Reason } from './reasons.js';
import { quote } from './show.js';

/** The task that failed, as a message names it: `Cannot listen on …`. */
export type Task = 'listen on' | 'connect to' | 'inspect' | 'clean' | 'tell which process is at the other end';

const withoutAddress = {
  'listen on': 'listen',
  'connect to': 'connect',
  inspect: 'inspect an address',
  clean: 'clean an address',
  'tell which process is at the other end': 'tell which process is at the other end',
} satisfies Record<Task, string>;

/** An error before a front end has put it into words. */
export interface Explanation {
  readonly task: Task;
  /** Undefined if the task names no address. */
  readonly address?: string | undefined;
  readonly reason: Reason;
  readonly facts: Facts;
  /** How long the call has tried: a whole sentence after the advice. */
  readonly tried?: string | undefined;
}

/** The parts of a message, which each front end puts together. */
export interface Parts {
  /** A clause without its full stop: `process 412 (node server.js) has held it since 10:31`. */
  readonly happened: string;
  /** Whole sentences, or an empty string. */
  readonly todo: string;
}

/** Returns the message with and without its advice. */
export function messageOf(explanation: Explanation, frontEnd: FrontEnd): { message: string; shortMessage: string } {
  const { task, address } = explanation;
  const { happened, todo } = partsOf(explanation, frontEnd);
  const shortMessage = `Cannot ${address === undefined ? withoutAddress[task] : `${task} ${quote(address)}`}: ${happened}.`;
  return { message: joined(shortMessage, todo), shortMessage };
}

export function partsOf({ task, reason, facts, tried }: Explanation, frontEnd: FrontEnd): Parts {
  const { happened, todo } = reasons[reason];
  const known = { ...facts, option: facts.option === undefined ? undefined : frontEnd.option(facts.option) };
  const alternatives = todo(wordsFor(task, facts, frontEnd.advice), known).filter((words) => words !== undefined);
  const advice = alternatives.length === 0 ? '' : sentence(either(alternatives));
  return { happened: happened(known), todo: joined(advice, tried ?? '') };
}

/**
 * Returns the advice that helps: a client cannot wait for an address, and a takeover needs a holder
 * that serves handovers.
 */
function wordsFor(task: Task, { handover, standing }: Facts, words: Words): Words {
  const listens = task === 'listen on';
  return {
    wait: listens && standing !== 'ourselves' ? words.wait : undefined,
    longer: task === 'connect to' ? words.longer : undefined,
    takeover: listens && handover === 'served' && standing === undefined ? words.takeover : undefined,
    handover: words.handover,
    lockPath: words.lockPath,
    allow: words.allow,
  };
}

/** Makes a sentence from a clause. */
export function sentence(clause: string): string {
  return `${clause.slice(0, 1).toUpperCase()}${clause.slice(1)}.`;
}

/** `a`, `a, or b`, `a, b, or c`. */
function either(alternatives: readonly string[]): string {
  const last = alternatives.at(-1) ?? '';
  return alternatives.length === 1 ? last : `${alternatives.slice(0, -1).join(', ')}, or ${last}`;
}

export function joined(...sentences: readonly string[]): string {
  return sentences.filter((each) => each !== '').join(' ');
}
