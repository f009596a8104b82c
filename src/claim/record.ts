import { byteLength } from '../address/address.js';

/**
 * The holder's description of itself in the lock file, for people and `inspect`. No decision
 * depends on it: it may be absent, torn, out of date, or forged.
 */
export interface HolderRecord {
  /** Process id, in the holder's own PID namespace. */
  readonly pid: number;
  readonly uid: number;
  /** The command line, shortened. */
  readonly command: string;
  /** When the claim was made, in milliseconds since 1970. */
  readonly sinceMs: number;
  /**
   * When the process was started, in clock ticks since boot (proc(5), stat, field 22). Tells a
   * reused pid apart.
   */
  readonly startTicks?: number | undefined;
  /** The inode of the PID namespace: in another namespace the pid means another process. */
  readonly pidNamespace?: string | undefined;
  readonly host?: string | undefined;
}

/** The greatest number of bytes that is ever read from a lock file. */
export const recordBytesMax = 4096;

/**
 * The length of a lock file that had a record, padded with NULs: it is long enough for the next
 * one.
 */
const recordBytes = 1024;

/** The greatest length of a record without its command. */
const otherBytesMax = 512;

/** A lock file with any other content belongs to another program, and is never written to. */
const prefix = '{"reuseaddr":1,';

const cleaningPrefix = `${prefix}"cleaning":true,`;

export const commandCharactersMax = 300;
const hostCharactersMax = 64;

export function formatRecord({ sinceMs, ...process }: HolderRecord): string {
  return recordOf(formatProcess(process), sinceMs);
}

/**
 * Returns the part of a record that describes the process: it is the same in all of its records.
 */
export function formatProcess({ command, host, ...rest }: Omit<HolderRecord, 'sinceMs'>): string {
  let shortened = command.slice(0, commandCharactersMax);
  // Characters that JSON escapes, or that are long in UTF-8.
  while (byteLength(JSON.stringify(shortened)) > recordBytes - otherBytesMax)
    shortened = shortened.slice(0, shortened.length * 0.9);
  return JSON.stringify({ ...rest, command: shortened, host: host?.slice(0, hostCharactersMax) }).slice(1);
}

/** Makes a record from the result of `formatProcess`. */
export function recordOf(process: string, sinceMs: number): string {
  return `${prefix}"sinceMs":${sinceMs},${process}\n`;
}

/** Returns a record with the NULs that make the lock file as long as all others. */
export function padded(record: string): string {
  return record + '\0'.repeat(Math.max(recordBytes - byteLength(record), 0));
}

/** Returns the record of `clean`, which has a lock only for a moment. */
export function cleaningRecord(record: string): string {
  return record.replace(prefix, cleaningPrefix);
}

/** Whether `clean` wrote the record. A start pauses longer for it; nothing else depends on that. */
export function isCleaning(text: string | undefined): boolean {
  return text?.startsWith(cleaningPrefix) ?? false;
}

/**
 * Whether this can be the content of a lock file: a record, a torn one, or the NULs that a power
 * cut leaves.
 */
export function isRecord(text: string): boolean {
  return text.startsWith(prefix) || prefix.startsWith(text) || /^\0*$/.test(text);
}

/** Reads a record without trust: any error in it makes the whole record unknown. */
export function parseRecord(text: string | undefined): HolderRecord | undefined {
  if (text === undefined || !text.startsWith(prefix)) return undefined;
  const end = text.indexOf('\n');
  if (end < 0) return undefined; // Torn.
  const line = text.slice(0, end);
  let value: Partial<Record<keyof HolderRecord, unknown>>;
  try {
    value = JSON.parse(line) as typeof value;
  } catch {
    return undefined;
  }
  const { pid, uid, command, sinceMs, startTicks, pidNamespace, host } = value;
  if (!isCount(pid) || pid === 0 || pid > pidMax || !isCount(uid) || uid > uidMax) return undefined;
  if (!isCount(sinceMs) || sinceMs > dateMsMax) return undefined;
  if (typeof command !== 'string') return undefined;
  return {
    pid,
    uid,
    command: printable(command, commandCharactersMax),
    sinceMs,
    startTicks: isCount(startTicks) ? startTicks : undefined,
    pidNamespace: typeof pidNamespace === 'string' ? printable(pidNamespace, hostCharactersMax) : undefined,
    host: typeof host === 'string' ? printable(host, hostCharactersMax) : undefined,
  };
}

/** The kernel's pid_t and uid_t. */
const pidMax = 0x7fff_ffff;
const uidMax = 0xffff_ffff;

/** The last moment that a Date can represent. */
const dateMsMax = 8.64e15;

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/**
 * Makes text from another process safe for a terminal: control characters, line and bidirectional
 * marks become `?`, and the text is cut to `charactersMax`.
 */
export function printable(text: string, charactersMax: number): string {
  const cut = text.length > charactersMax ? `${text.slice(0, charactersMax - 1)}…` : text;
  return cut.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu, '?');
}
