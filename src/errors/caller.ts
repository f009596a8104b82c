import { SocketAddressError } from './socketAddressError.js';

/**
 * Makes the stack of an error begin at the program's call of `called` instead of inside this
 * package. The stack stays as it is if no caller is known, because the program does not await the
 * promise.
 */
export function beginAtCaller(error: unknown, called: (...args: never[]) => unknown): unknown {
  if (!(error instanceof SocketAddressError)) return error;
  const { stack } = error;
  Error.captureStackTrace(error, called);
  if (stack !== undefined && !/^ {4}at /m.test(error.stack ?? '')) error.stack = stack;
  return error;
}
