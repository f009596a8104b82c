import { lstatSync } from 'node:fs';
import { SocketAddressError } from '../errors/socketAddressError.js';
import { messageOf } from '../errors/messageOf.js';
import type { Reason } from '../errors/reasons.js';
import { boundTo } from '../holder/find.js';
import { isServing } from '../kernel/sockets.js';
import type { Command } from './command.js';
import { frontEndOf } from './frontEnd.js';
import { status } from './status.js';
import type { Terminal } from './terminal.js';

/** The reasons for which the command line itself is wrong. */
const usageReasons: ReadonlySet<Reason> = new Set(['bad-address', 'bad-argument', 'bad-option', 'unknown-user', 'unknown-group']);

/** Explains why a command has failed, and returns the exit status. Loaded only after a failure. */
export function explainFailure(error: unknown, { options }: Command, terminal: Terminal): number {
  if (error instanceof SocketAddressError) {
    terminal.complain(messageOf(error.explanation, frontEndOf(options)).message);
    if (usageReasons.has(error.reason)) return status.usage;
    return error.code === 'EADDRINUSE' || isListening(error) ? status.inUse : status.failed;
  }
  const { message, code } = error as { message: string; code?: string };
  // Any other error is a mistake of ours, and its stack is needed.
  if (code === undefined) throw error;
  terminal.complain(message);
  return status.failed;
}

/** Whether another user's server listens, whose lock file this user may not open. */
function isListening({ reason, address }: SocketAddressError): boolean {
  const file = reason === 'lock-denied' ? lstatSync(address, { bigint: true, throwIfNoEntry: false }) : undefined;
  const bound = file && boundTo(file);
  return bound !== undefined && isServing(bound);
}
