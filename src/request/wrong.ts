import type { SocketAddressError } from '../errors/error.js';
import { explainWrong } from '../errors/explain.js';
import { kindOf } from '../errors/kind.js';
import type { Task } from '../errors/message.js';
import { show } from '../errors/show.js';

/**
 * Throws if the options are not an object but, say, a callback or null, or if they are an object of
 * another kind, such as an AbortSignal: that has no option, so it would have no effect, silently.
 */
export function refuseNoOptions(address: unknown, options: unknown, task?: Task): asserts options is object {
  if (isOptions(options)) return;
  const wrong = `the options must be an object, and this is ${kindOf(options)}`;
  const right = adviceFor(options);
  throw explainWrong(
    typeof address === 'string' ? address : undefined,
    'bad-argument',
    'ERR_INVALID_ARG_TYPE',
    { wrong, right },
    task,
  );
}

/** An object with options of its own, whatever its class, or a plain one of any realm. */
function isOptions(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null || Object.keys(value).length > 0;
}

function adviceFor(value: unknown): string {
  if (typeof value === 'function') return 'leave the callback out, and await the promise';
  return isSignal(value) ? 'write { signal }' : 'leave them out, or pass {}';
}

/** Throws on a callback after the options: it would never be called, silently. */
export function refuseCallback(address: unknown, callback: unknown, task?: Task): void {
  if (typeof callback === 'function') refuseNoOptions(address, callback, task);
}

/**
 * Returns the signal, or one of this realm that follows it: `AbortSignal.any` rejects signals of
 * another realm.
 */
export function readSignal(address: string, signal: unknown, task?: Task): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  if (!isSignal(signal)) {
    const right = 'pass the signal of an AbortController, or AbortSignal.timeout(milliseconds)';
    throw badOption(address, 'signal', `must be an AbortSignal, and this is ${kindOf(signal)}`, right, task);
  }
  const follower = new AbortController();
  const abort = (): void => follower.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  return follower.signal;
}

function isSignal(value: unknown): value is AbortSignal {
  return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value;
}

/** Throws on an unknown option: a misspelt option would otherwise have no effect, silently. */
export function refuseUnknown(text: string, options: object, known: readonly string[], task?: Task): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue;
    const wrong = `there is no option "${show(name)}", only ${known.join(', ')}`;
    throw explainWrong(text, 'bad-option', 'EINVAL', { wrong }, task);
  }
}

/** Returns the error for an option with an invalid value: `mode must be an integer`. */
export function badOption(address: string, option: string, wrong: string, right?: string, task?: Task): SocketAddressError {
  return explainWrong(address, 'bad-option', 'EINVAL', { option, wrong, right }, task);
}
