import type { Address } from '../address/address.js';
import type { Terms } from '../claim/bind.js';
import type { Reason } from '../errors/error.js';
import { show } from '../errors/explain.js';
import { ownRecord } from '../holder/self.js';
import { groupId, userId } from '../holder/users.js';
import { bad, readAddress } from './address.js';

/** What `listen` and `claim` take. */
export interface ListenOptions {
  /**
   * Permission bits of the socket file, 0 to 0o777, whatever the umask. Linux asks for write permission at connect(2).
   * Not for an abstract name, which has none. Default: 0o600, this user only.
   *
   * @see unix(7), "Pathname socket ownership and permissions"
   */
  readonly mode?: number | undefined;
  /** Owner of the socket file, by name or uid. Default: the user of this process. Only root may give a file away. */
  readonly owner?: string | number | undefined;
  /** Group of the socket file, by name or gid. Default: the group of this process, or of a set-group-ID directory. */
  readonly group?: string | number | undefined;
  /**
   * How many connections may wait to be accepted. Default: the system's maximum, net.core.somaxconn on Linux. A client that
   * finds the queue full gets EAGAIN at once; `connect` tries again.
   *
   * @see listen(2)
   */
  readonly backlog?: number | undefined;
  /**
   * The lock file. Default: `<path>.lock`. All who use one address must use one lock file. It is never unlinked.
   */
  readonly lockPath?: string | undefined;
}

/** A request that was read and found good: nothing has been touched yet. */
export interface Request {
  readonly text: string;
  readonly address: Address;
  readonly terms: Terms;
}

const backlogMax = 0x7fff_ffff;
const idMax = 0xffff_fffe; // (uid_t) -1 means "leave it", chown(2).

/** Reads what the caller asked for. Bad input is refused here, before anything changes on disk. */
export function readRequest(text: string, options: ListenOptions, defaultMode: number | undefined = 0o600): Request {
  const address = readAddress(text, options.lockPath);
  if (address.kind !== 'pathname') refuseFileOptions(text, options);
  const terms: Terms = {
    mode: integer(text, 'mode', options.mode, 0o777, (mode) => `0o${mode.toString(8)}`) ?? defaultMode,
    uid: identify(text, 'owner', options.owner, userId, 'unknown-user'),
    gid: identify(text, 'group', options.group, groupId, 'unknown-group'),
    backlog: integer(text, 'backlog', options.backlog, backlogMax, String) ?? backlogMax,
    record: address.kind === 'pathname' ? ownRecord() : '',
  };
  return { text, address, terms };
}

function refuseFileOptions(text: string, options: ListenOptions): void {
  for (const name of ['mode', 'owner', 'group'] as const) {
    if (options[name] === undefined) continue;
    throw bad(
      text,
      'bad-option',
      'EINVAL',
      `${name} is for socket files; this address is not one. Restrict peers with { allow }`,
    );
  }
}

function integer(
  text: string,
  name: string,
  value: number | undefined,
  max: number,
  format: (value: number) => string,
): number | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= max)) return value;
  throw bad(text, 'bad-option', 'EINVAL', `${name} must be an integer from 0 to ${format(max)}`);
}

function identify(
  text: string,
  name: string,
  value: string | number | undefined,
  find: (nameOrId: string | number) => number | undefined,
  unknown: Reason,
): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number') return integer(text, name, value, idMax, String);
  const id = find(value);
  if (id === undefined) throw bad(text, unknown, 'EINVAL', `there is no ${name === 'owner' ? 'user' : 'group'} "${show(value)}"`);
  return id;
}
