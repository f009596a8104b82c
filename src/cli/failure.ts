import { SocketAddressError } from '../errors/error.js';
import { messageOf } from '../errors/message.js';
import type { Reason } from '../errors/reasons.js';
import type { Command } from './command.js';
import { frontEndOf } from './frontEnd.js';
import { status } from './status.js';
import type { Terminal } from './terminal.js';

/** What is wrong with the words of the command, and not with the world. */
const usageReasons: ReadonlySet<Reason> = new Set(['bad-address', 'bad-argument', 'bad-option', 'unknown-user', 'unknown-group']);

/** Says why a command has failed. Gives the exit status. Loaded only then. */
export function explainFailure(error: unknown, { options }: Command, terminal: Terminal): number {
  if (error instanceof SocketAddressError) {
    terminal.complain(messageOf(error.explanation, frontEndOf(options)).message);
    if (usageReasons.has(error.reason)) return status.usage;
    return error.code === 'EADDRINUSE' ? status.inUse : status.failed;
  }
  const { message, code } = error as { message: string; code?: string };
  // Anything else is a mistake of ours, and its stack is wanted.
  if (code === undefined) throw error;
  terminal.complain(message);
  return status.failed;
}
