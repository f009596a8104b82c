import { parseRecord, type HolderRecord } from '../claim/record.js';
import { hostName, isStopped, pidNamespace, startTicks } from './self.js';
import { userName } from './users.js';

/** The process that holds an address, as far as it is known. */
export interface Holder {
  /** Process id, in the holder's own PID namespace. */
  readonly pid: number;
  readonly uid?: number | undefined;
  /** The name of the user, if this system knows one. */
  readonly user?: string | undefined;
  /** The command line, shortened. */
  readonly command?: string | undefined;
  /** When the process claimed the address. */
  readonly since?: Date | undefined;
  /** The host name, if it is not that of this process: a container, or a shared file system. */
  readonly host?: string | undefined;
  /**
   * Set if the process is stopped (SIGSTOP, Ctrl-Z, a debugger): it holds the address and serves no
   * client.
   */
  readonly stopped?: true | undefined;
  /** The PID namespace of `pid`, if it is another one: every container has a process 1. */
  readonly pidNamespace?: string | undefined;
}

/**
 * Returns the process that wrote this record, if the record is readable and the process is not
 * known to be dead.
 */
export function holderOfRecord(text: string | undefined): Holder | undefined {
  const record = parseRecord(text);
  if (record === undefined || isKnownDead(record)) return undefined;
  const { pid, uid, command, sinceMs, host } = record;
  const holder = { pid, uid, user: userName(uid), command, since: new Date(sinceMs) };
  const away = host === undefined || host === (hostName() ?? host) ? holder : { ...holder, host };
  const { pidNamespace: namespace } = record;
  if (namespace !== undefined && namespace !== pidNamespace()) return { ...away, pidNamespace: namespace };
  return away === holder && isStopped(pid) ? { ...holder, stopped: true } : away;
}

/**
 * The record of a crashed holder stays until the next holder writes its own. Another process may
 * have its pid by now.
 */
function isKnownDead({ pid, pidNamespace: namespace, startTicks: ticks }: HolderRecord): boolean {
  return ticks !== undefined && namespace !== undefined && namespace === pidNamespace() && startTicks(pid) !== ticks;
}

/**
 * Whether a record was written in another PID namespace, whose locks /proc/locks does not show
 * here.
 */
export function isForeign(text: string): boolean {
  const namespace = parseRecord(text)?.pidNamespace;
  return namespace !== undefined && namespace !== pidNamespace();
}
