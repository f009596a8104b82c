import { kindOf } from '../errors/kind.js';
import { show } from '../errors/show.js';
import { groupId, userId } from '../holder/users.js';
import { failed } from '../kernel/kernel.js';
import { kernel, peerGroups } from '../kernel/posix.js';
import { credentialsOf, type Credentials, type Judge } from '../peers/credentials.js';
import { badOption, Mistake } from './mistake.js';
import { isOptions } from './requireOptions.js';

/**
 * Which peers may connect: users and groups by name or id, of which one must match; or a function
 * of the credentials. A group also matches the supplementary groups of the peer.
 */
export type AllowRule =
  | { readonly uid?: readonly (string | number)[] | undefined; readonly gid?: readonly (string | number)[] | undefined }
  | ((peer: Credentials) => boolean | Promise<boolean>);

const example = "write { uid: ['www-data'] }, { gid: [1000] }, or a function of the credentials";

/** Reads a rule. Looks names up once, now. */
export function readRule(rule: AllowRule): Judge {
  if (typeof rule === 'function') return (connection) => judgeByFunction(rule, connection);
  // Callers without types may pass anything. A Map or a promise has neither uid nor gid, and would
  // deny every peer, silently.
  if (!isOptions(rule)) throw badOption('allow', `must be a rule or a function, and this is ${kindOf(rule)}`, example);
  const unknown = Object.keys(rule).find((key) => key !== 'uid' && key !== 'gid');
  if (unknown !== undefined) throw badOption('allow', `has no "${show(unknown)}", only uid and gid`);
  const uids = ids('uid', rule.uid, userId);
  const gids = ids('gid', rule.gid, groupId);
  return (connection) => judgeByIds(uids, gids, connection);
}

/** Accepts the same user and root: the default for an abstract name, which has no permissions. */
export function sameUserOrRoot(connection: number): boolean {
  const peer = kernel.peerCredentials(connection);
  return !failed(peer) && (peer.uid === 0 || peer.uid === kernel.geteuid());
}

type RuleFunction = Extract<AllowRule, (peer: Credentials) => unknown>;

function judgeByFunction(rule: RuleFunction, connection: number): boolean | Promise<boolean> {
  const peer = credentialsOf(connection);
  return !failed(peer) && rule(peer);
}

/** Asks for the supplementary groups only if the decision depends on them: a second call. */
function judgeByIds(uids: ReadonlySet<number>, gids: ReadonlySet<number>, connection: number): boolean {
  const peer = kernel.peerCredentials(connection);
  if (failed(peer)) return false;
  if (uids.has(peer.uid) || gids.has(peer.gid)) return true;
  const groups = gids.size === 0 ? [] : peerGroups(connection);
  return !failed(groups) && groups.some((group) => gids.has(group));
}

function ids(
  name: 'uid' | 'gid',
  values: readonly (string | number)[] | undefined,
  find: (nameOrId: string | number) => number | undefined,
): ReadonlySet<number> {
  if (values === undefined) return new Set();
  if (!Array.isArray(values)) throw badOption(`allow.${name}`, `must be a list, and this is ${kindOf(values)}`, example);
  return new Set((values as readonly (string | number)[]).map((value) => one(name, value, find)));
}

function one(name: 'uid' | 'gid', value: string | number, find: (nameOrId: string | number) => number | undefined): number {
  if (typeof value === 'number' ? !Number.isInteger(value) || value < 0 : typeof value !== 'string') {
    throw badOption(`allow.${name}`, 'takes names and ids');
  }
  const id = find(value);
  if (id !== undefined) return id;
  const reason = name === 'uid' ? 'unknown-user' : 'unknown-group';
  throw new Mistake(reason, 'EINVAL', { option: `allow.${name}`, wrong: show(String(value)) });
}
