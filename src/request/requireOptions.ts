import { kindOf } from '../errors/kind.js';
import { show } from '../errors/show.js';
import { badOption, Mistake } from './mistake.js';

/**
 * Throws if the options are not an object but, say, a callback or null, or if they are an object of
 * another kind, such as an AbortSignal: that has no option, so it would have no effect, silently.
 */
export function requireOptions(options: unknown): asserts options is object {
  if (isOptions(options)) return;
  const wrong = `the options must be an object, and this is ${kindOf(options)}`;
  const right = adviceFor(options);
  throw new Mistake('bad-argument', 'ERR_INVALID_ARG_TYPE', { wrong, right });
}

/** An object with options of its own, whatever its class, or a plain one of any realm. */
export function isOptions(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null || Object.keys(value).length > 0;
}

function adviceFor(value: unknown): string {
  if (typeof value === 'function') return 'leave the callback out, and await the promise';
  return isSignal(value) ? 'write { signal }' : 'leave them out, or pass {}';
}

/** Throws on a callback after the options: it would never be called, silently. */
export function requireNoCallback(callback: unknown): void {
  if (typeof callback === 'function') requireOptions(callback);
}

/**
 * Returns the signal, or one of this realm that follows it: `AbortSignal.any` rejects signals of
 * another realm.
 */
export function readSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  if (!isSignal(signal)) {
    const right = 'pass the signal of an AbortController, or AbortSignal.timeout(milliseconds)';
    throw badOption('signal', `must be an AbortSignal, and this is ${kindOf(signal)}`, right);
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
export function requireKnown(options: object, known: readonly string[]): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue;
    const wrong = `there is no option "${show(name)}", only ${known.join(', ')}`;
    throw new Mistake('bad-option', 'EINVAL', { wrong });
  }
}
