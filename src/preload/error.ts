import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { SocketAddressError } from '../errors/error.js';
import { quote } from '../errors/explain.js';

/** Where a message recommends an option of `listen`: what somebody can do who runs a program and can't change it. */
const inEnvironment: readonly (readonly [string, string])[] = [
  ['wait for it with { wait: true }', 'wait for it with REUSEADDR=wait'],
  ['take it over with { takeover: true }', 'take it over with REUSEADDR=takeover'],
  [', or choose another with { lockPath }', ', or choose another path for the socket'],
  ['Put the lock file elsewhere with { lockPath }', 'Choose a path on another one'],
];

/**
 * The error as node:net would have made it, for a program that knows nothing of us: Node's message first, its `code`, `errno`,
 * `address` and `port`, and `syscall: 'listen'` whichever call it was (many programs look at that). `reason` and `holder`
 * are added, and the message goes on with who has the address and what to do.
 *
 * @param caller the function above which the stack begins, where the program's call is on it
 */
export function asNodeError(error: SocketAddressError, path: string, caller?: (...args: never[]) => unknown): SocketAddressError {
  // libuv says so of a missing directory: "Convert ENOENT to EACCES for compat with Windows".
  const code = error.code === 'ENOENT' ? 'EACCES' : error.code;
  const message = `${nodeMessage(code, path)}. ${capitalize(adviseInEnvironment(explanation(error)))}`;
  const { reason, holder } = error;
  const made = new SocketAddressError(message, { code, reason, holder, syscall: 'listen', address: path });
  if (caller !== undefined) Error.captureStackTrace(made, caller);
  return Object.assign(made, { port: -1 });
}

/** A negative errno for node:cluster, whose workers take anything else for success. */
export function negativeErrno({ errno }: SocketAddressError): number {
  return errno ?? -constants.errno.EADDRINUSE;
}

function nodeMessage(code: string, path: string): string {
  for (const [name, text] of getSystemErrorMap().values()) {
    if (name === code) return `listen ${code}: ${text} ${path}`;
  }
  return `listen ${code} ${path}`;
}

/** The message without its beginning, `Cannot listen on ADDRESS: `. */
function explanation({ message, address }: SocketAddressError): string {
  const start = `Cannot listen on ${quote(address)}: `;
  return message.startsWith(start) ? message.slice(start.length) : message;
}

function adviseInEnvironment(message: string): string {
  return inEnvironment.reduce((text, [option, environment]) => text.replace(option, environment), message);
}

function capitalize(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
