import { SocketAddressError } from './error.js';

/**
 * Lets the stack of an error begin at the program's call of `called`, and not in the files of this package. Where no caller is known,
 * because the program does not await the promise, the stack stays as it is.
 */
export function beginAtCaller(error: unknown, called: (...args: never[]) => unknown): unknown {
  if (!(error instanceof SocketAddressError)) return error;
  const { stack } = error;
  Error.captureStackTrace(error, called);
  if (stack !== undefined && !/^ {4}at /m.test(error.stack ?? '')) error.stack = stack;
  return error;
}
