import { parseRecord, type HolderRecord } from '../claim/record.js';
import { hostName, isStopped, pidNamespace, startTicks } from './self.js';
import { userName } from './users.js';

/** The process that has an address, as far as it is known. */
export interface Holder {
  /** Process id, in the holder's own PID namespace. */
  readonly pid: number;
  readonly uid?: number | undefined;
  /** The name of the user, where this system knows one. */
  readonly user?: string | undefined;
  /** The command line, shortened. */
  readonly command?: string | undefined;
  /** When it claimed the address. */
  readonly since?: Date | undefined;
  /** The host name, where it is not ours: a container, or a shared file system. */
  readonly host?: string | undefined;
  /** Set where the process is stopped (SIGSTOP, Ctrl-Z, a debugger): it holds the address and serves no client. */
  readonly stopped?: true | undefined;
  /** The PID namespace of `pid`, where it is not ours: in every container there is a process 1. */
  readonly pidNamespace?: string | undefined;
}

/** Who wrote this record, if it can be read and its writer still lives as far as we can see. */
export function holderOfRecord(text: string | undefined): Holder | undefined {
  const record = parseRecord(text);
  if (record === undefined || isKnownDead(record)) return undefined;
  const { pid, uid, command, sinceMs, host } = record;
  const holder = { pid, uid, user: userName(uid), command, since: new Date(sinceMs) };
  const away = host === undefined || host === hostName() ? holder : { ...holder, host };
  const { pidNamespace: namespace } = record;
  if (namespace !== undefined && namespace !== pidNamespace()) return { ...away, pidNamespace: namespace };
  return away === holder && isStopped(pid) ? { ...holder, stopped: true } : away;
}

/** A record of a crashed holder is there until the next one writes its own. Its pid may be somebody else's by now. */
function isKnownDead({ pid, pidNamespace: namespace, startTicks: ticks }: HolderRecord): boolean {
  return ticks !== undefined && namespace !== undefined && namespace === pidNamespace() && startTicks(pid) !== ticks;
}

/** Whether a record was written in another PID namespace, whose locks /proc/locks doesn't show us. */
export function isForeign(text: string): boolean {
  const namespace = parseRecord(text)?.pidNamespace;
  return namespace !== undefined && namespace !== pidNamespace();
}
