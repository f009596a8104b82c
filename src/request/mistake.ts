import type { SocketAddressError } from '../errors/socketAddressError.js';
import { explainWrong, type Wrong } from '../errors/explain.js';
import type { Task } from '../errors/messageOf.js';
import type { Reason } from '../errors/reasons.js';

/**
 * A mistake of the caller. The check that finds it knows the option, and neither the address nor
 * the task.
 */
export class Mistake extends Error {
  readonly reason: Reason;
  readonly code: string;
  readonly wrong: Wrong;

  constructor(reason: Reason, code: string, wrong: Wrong) {
    super(wrong.wrong);
    this.reason = reason;
    this.code = code;
    this.wrong = wrong;
  }
}

/** A mistake in an option: `mode must be an integer`. */
export function badOption(option: string, wrong: string, right?: string): Mistake {
  return new Mistake('bad-option', 'EINVAL', { option, wrong, right });
}

/**
 * Reads what a caller passed. Explains the first mistake, with the address and the task.
 *
 * @throws {SocketAddressError}
 */
export function explainMistakes<Read>(address: unknown, task: Task, read: () => Read): Read {
  try {
    return read();
  } catch (error) {
    throw error instanceof Mistake ? explainMistake(address, task, error) : error;
  }
}

function explainMistake(address: unknown, task: Task, { reason, code, wrong }: Mistake): SocketAddressError {
  const named = typeof address === 'string' || typeof address === 'number' ? String(address) : undefined;
  return explainWrong(named, reason, code, wrong, task);
}
