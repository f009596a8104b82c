import type { AbstractName, Pathname } from '../address/address.js';
import { socketTypeDefault, type SocketType } from '../address/socketType.js';
import type { Terms } from '../claim/bindUnderLock.js';
import { kindOf } from '../errors/kind.js';
import { show } from '../errors/show.js';
import { timerMsMax } from '../kernel/clock.js';
import { ownRecord } from '../holder/self.js';
import { groupId, userId } from '../holder/users.js';
import type { Judge } from '../peers/credentials.js';
import { readAddress } from './readAddress.js';
import { badOption, Mistake } from './mistake.js';
import { readRule, sameUserOrRoot, type AllowRule } from './rule.js';
import { readSignal, requireOptions, requireKnown } from './requireOptions.js';
import { readSocketType } from './readSocketType.js';

/** The options of `listen` and `claim`. */
export interface ListenOptions {
  /**
   * The type of the socket, as in socket(2). For `claim` only: `listen` takes a server, which
   * accepts streams, and `bind` a socket of node:dgram. A path is one address for all types, so two
   * processes cannot claim it with different ones. Abstract names of different types are different
   * addresses. macOS has no seqpacket. Default: `stream`.
   *
   * @see unix(7)
   */
  readonly type?: SocketType | undefined;
  /**
   * Permission bits of the socket file, 0 to 0o777, regardless of the umask. Linux requires write
   * permission for connect(2). Default: 0o600, this user only.
   *
   * @see unix(7), "Pathname socket ownership and permissions"
   */
  readonly mode?: number | undefined;
  /**
   * Owner of the socket file, by name or uid. Only root may give a file away. Default: the user of
   * this process.
   */
  readonly owner?: string | number | undefined;
  /**
   * Group of the socket file, by name or gid. Default: the group of this process, or of a
   * set-group-ID directory.
   */
  readonly group?: string | number | undefined;
  /**
   * How many connections may wait to be accepted. If the queue is full, a client gets EAGAIN at
   * once. Default: the system's maximum, net.core.somaxconn on Linux.
   *
   * @see listen(2)
   */
  readonly backlog?: number | undefined;
  /**
   * The lock file, one for all processes that use the address. Default: `<path>.lock`.
   */
  readonly lockPath?: string | undefined;
  /**
   * Whether the lock file stays at a clean release, or is removed as its last step. Choose `remove`
   * for a name that is used once. Every program that uses the address must then compare the lock
   * file with its name after flock(2), as reuseaddr does. Default: `keep`.
   */
  readonly lockFile?: 'keep' | 'remove' | undefined;
  /**
   * If the address is in use, wait for it: indefinitely (`true`) or for this many milliseconds.
   * Default: fail at once.
   */
  readonly wait?: boolean | number | undefined;
  /** Ends a wait or a takeover: the promise is rejected with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Ask the holder to hand the address over, for at most ten seconds (`true`) or this many
   * milliseconds. If the holder does not, the start fails with `EADDRINUSE`, or continues with
   * `wait` if that is set too. Default: false.
   */
  readonly takeover?: boolean | number | undefined;
  /**
   * Serve handovers to processes of the same user and of root. After one, the claim emits
   * `handover`. Default: false.
   */
  readonly handover?: boolean | undefined;
  /**
   * The reaction when another process removes or replaces the socket file of a live server.
   * `report`: emit `displaced`. `rebind` (for `listen` only): emit it, and listen there again.
   * Default: `report`.
   */
  readonly onDisplaced?: 'report' | 'rebind' | undefined;
  /**
   * Which peers may connect, by the credentials from the kernel. For `listen` only. Default: every
   * peer that the permissions of the socket file admit; for an abstract name, the same effective
   * user and root.
   *
   * @see unix(7), SO_PEERCRED
   */
  readonly allow?: AllowRule | undefined;
}

/** A request that has been read and found valid. Nothing has been touched yet. */
export interface Request {
  readonly text: string;
  readonly address: Pathname | AbstractName;
  readonly terms: Terms;
  /** The mode, if the caller set one. */
  readonly mode: number | undefined;
  /** How long to wait, in milliseconds. Undefined: not at all. */
  readonly waitMs: number | undefined;
  /** How long to ask for a handover, in milliseconds. Undefined: not at all. */
  readonly takeoverMs: number | undefined;
  readonly handover: boolean;
  readonly rebind: boolean;
  /** Which peers may connect. Undefined: every peer that the kernel lets connect. */
  readonly judge: Judge | undefined;
  readonly signal: AbortSignal | undefined;
}

const backlogMax = 0x7fff_ffff;
/** This user only. */
const modeDefault = 0o600;
const takeoverDefaultMs = 10_000;
const idMax = 0xffff_fffe; // (uid_t) -1 means "leave it", chown(2).

/** Reads the caller's options. Throws if one is wrong, before anything changes on disk. */
export function readRequest(text: string, options: ListenOptions): Request {
  requireOptions(options);
  const parsed = readAddress(text, options.lockPath);
  const type = readSocketType(options);
  const address = parsed.kind === 'abstract' ? { ...parsed, type } : parsed;
  if (address.kind !== 'pathname') requireNoFileOptions(options, type);
  // Each option has its line, so that none is accepted and then has no effect.
  const read = {
    type,
    mode: integer('mode', options.mode, 0o777, (mode) => `0o${mode.toString(8)}`),
    owner: idOf('owner', options.owner, userId, 'unknown-user'),
    group: idOf('group', options.group, groupId, 'unknown-group'),
    backlog: integer('backlog', options.backlog, backlogMax, String) ?? backlogMax,
    lockPath: address,
    lockFile: readLockFile(address, options.lockFile),
    wait: duration('wait', options.wait, Infinity),
    signal: readSignal(options.signal),
    takeover: duration('takeover', options.takeover, takeoverDefaultMs),
    handover: flag('handover', options.handover),
    onDisplaced: readOnDisplaced(options.onDisplaced),
    allow: options.allow === undefined ? judgeDefault(address) : readRule(options.allow),
  } satisfies Record<keyof ListenOptions, unknown>;
  requireKnown(options, Object.keys(read));
  const { mode, owner: uid, group: gid, backlog, lockFile, handover, signal } = read;
  const record = address.kind === 'pathname' ? ownRecord() : '';
  return {
    text,
    address,
    terms: { type, mode: mode ?? modeDefault, uid, gid, backlog, record, lockFile },
    mode,
    waitMs: read.wait,
    takeoverMs: read.takeover,
    handover,
    rebind: read.onDisplaced,
    judge: read.allow,
    signal,
  };
}

function judgeDefault(address: Pathname | AbstractName): Judge | undefined {
  return address.kind === 'abstract' ? sameUserOrRoot : undefined;
}

function readLockFile({ kind }: Pathname | AbstractName, value: unknown): 'keep' | 'remove' | undefined {
  if (value !== undefined && kind !== 'pathname')
    throw badOption('lockFile', 'is for pathnames, and this address has no lock file');
  if (value === undefined || value === 'keep' || value === 'remove') return value;
  throw badOption('lockFile', `must be 'keep' or 'remove', and this is ${valueOf(value)}`);
}

function readOnDisplaced(value: unknown = 'report'): boolean {
  if (value === 'report' || value === 'rebind') return value === 'rebind';
  throw badOption('onDisplaced', `must be 'report' or 'rebind', and this is ${valueOf(value)}`);
}

/** `true` means `whenTrue`. `false` means the same as undefined. */
function duration(name: string, value: boolean | number | undefined, whenTrue: number): number | undefined {
  if (typeof value !== 'number') return flag(name, value, 'true, false or a number of milliseconds') ? whenTrue : undefined;
  return value === Infinity ? value : integer(name, value, timerMsMax, String);
}

function flag(name: string, value: boolean | undefined, expected = 'true or false'): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? false;
  throw badOption(name, `must be ${expected}, and this is ${valueOf(value)}`);
}

function requireNoFileOptions(options: ListenOptions, type: SocketType): void {
  for (const name of ['mode', 'owner', 'group'] as const) {
    if (options[name] === undefined) continue;
    throw new Mistake('bad-option', 'EINVAL', {
      option: name,
      wrong: 'is for socket files, and this address is not one',
      ...(type === socketTypeDefault ? { instead: 'allow' } : { right: 'use a path' }),
    });
  }
}

function integer(name: string, value: number | undefined, max: number, format: (value: number) => string): number | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= max)) return value;
  // JavaScript may have passed a string, or an object that no string can be made of.
  const written: unknown = value;
  const digits = typeof written === 'number' || typeof written === 'string' ? String(written) : '';
  const right = name === 'mode' && /^0?[0-7]{3}$/.test(digits) ? `write 0o${digits.slice(-3)}` : undefined;
  throw badOption(name, `must be an integer from 0 to ${format(max)}, and this is ${valueOf(value)}`, right);
}

/** Shows a number as the caller meant it, or names what else was passed. */
function valueOf(value: unknown): string {
  if (typeof value === 'string') return `the string "${show(value.slice(0, 20))}"`;
  return typeof value === 'number' ? String(value) : kindOf(value);
}

function idOf(
  name: string,
  value: string | number | undefined,
  find: (nameOrId: string | number) => number | undefined,
  unknown: 'unknown-user' | 'unknown-group',
): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number') return integer(name, value, idMax, String);
  if (typeof value !== 'string') throw badOption(name, `must be a name or an id, and this is ${kindOf(value)}`);
  const id = find(value);
  if (id === undefined) throw new Mistake(unknown, 'EINVAL', { option: name, wrong: show(value) });
  return id;
}
