import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type { FrontEnd } from '../errors/advice.js';
import { SocketAddressError } from '../errors/socketAddressError.js';
import { joined, partsOf, sentence } from '../errors/messageOf.js';

/** The advice for the user of a program who cannot change it. */
const preload: FrontEnd = {
  advice: {
    wait: 'wait for it with REUSEADDR=wait',
    longer: undefined,
    takeover: 'take it over with REUSEADDR=takeover',
    handover: 'start it again with REUSEADDR=handover',
    lockPath: 'choose another path for the socket',
    allow: undefined,
  },
  option: (name) => name,
};

/**
 * Makes the error that node:net would have made, for a program that does not know this package.
 *
 * It begins with Node's message, and has `code`, `errno`, `address` and `port`, and always
 * `syscall: 'listen'`, which many programs check. It also has `reason` and `holder`, and the
 * message continues with the process that holds the address, and what to do.
 *
 * @param caller the function above which the stack begins, if the program's call is on it
 */
export function asNodeError(error: SocketAddressError, path: string, caller?: (...args: never[]) => unknown): SocketAddressError {
  // libuv reports a missing directory in this way: "Convert ENOENT to EACCES for compat with
  // Windows".
  const code = error.code === 'ENOENT' ? 'EACCES' : error.code;
  const { reason, holder, explanation } = error;
  const { happened, todo } = partsOf(explanation, preload);
  const shortMessage = `${nodeMessage(code, path)}. ${sentence(happened)}`;
  const fields = { code, reason, holder, syscall: 'listen', address: path, shortMessage, explanation };
  const made = new SocketAddressError(joined(shortMessage, todo), fields);
  if (caller !== undefined) Error.captureStackTrace(made, caller);
  return Object.assign(made, { port: -1 });
}

/** Returns a negative errno for node:cluster, whose workers take anything else for success. */
export function negativeErrno({ errno }: SocketAddressError): number {
  return errno ?? -constants.errno.EADDRINUSE;
}

function nodeMessage(code: string, path: string): string {
  for (const [name, text] of getSystemErrorMap().values()) {
    if (name === code) return `listen ${code}: ${text} ${path}`;
  }
  return `listen ${code} ${path}`;
}
