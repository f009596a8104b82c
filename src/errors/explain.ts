import { dirname } from 'node:path';
import type { Refusal } from '../claim/refusal.js';
import { isOwnRun } from '../holder/ancestors.js';
import { isFellowWorker } from '../holder/fellowWorker.js';
import { holderOfRecord, type Holder } from '../holder/holder.js';
import type { Errno } from '../kernel/kernel.js';
import { library, type Advice } from './advice.js';
import { describe, describeFile, describeOwner, describeUser, sinceWhen } from './describe.js';
import { SocketAddressError } from './socketAddressError.js';
import type { Facts } from './facts.js';
import { messageOf, type Explanation, type Task } from './messageOf.js';
import { reasons, type Reason } from './reasons.js';
import { show } from './show.js';

/** Why a connection to an address failed. */
export type Unreachable =
  // Temporary: `connect` tries again until the deadline.
  | 'absent'
  | 'no-directory'
  | 'stale'
  | 'starting'
  | 'backlog-full'
  // Permanent.
  | 'denied'
  | 'not-a-socket'
  | 'not-a-stream'
  | 'too-long'
  | 'system';

/** Returns the error for a refused start. */
export function explain(address: string, refusal: Refusal, known?: Holder, task: Task = 'listen on'): SocketAddressError {
  const { refused, errno, syscall, path, handover, record, pid, unpassed } = refusal;
  const holder = known ?? holderOfRecord(record);
  const isSibling = refused === 'held' && pid !== undefined;
  return failure(task, address, refused, { code: errno, call: syscall, path, handover, unpassed, isSibling }, holder);
}

/** Why the last attempt to connect failed. */
export interface FailedConnect {
  readonly unreachable: Unreachable;
  readonly errno: Errno;
  readonly syscall: string;
  /** A clause about the socket that is there instead, and how to reach it. */
  readonly wrong?: string;
  readonly right?: string | undefined;
}

/** Returns the error for a connection that failed after attempts for `triedMs`. */
export function explainConnect(
  address: string,
  { unreachable, errno, syscall, wrong, right }: FailedConnect,
  triedMs: number,
  holder?: Holder,
): SocketAddressError {
  const path = unreachable === 'no-directory' ? dirname(address) : address;
  const tried =
    triedMs > 0 ? `Gave up after ${triedMs < 1000 ? `${triedMs} ms` : `${Math.round(triedMs / 100) / 10} s`}.` : undefined;
  return failure(
    'connect to',
    address,
    unreachable,
    { code: errno, call: syscall, path, ...(wrong !== undefined && { wrong, right }) },
    holder,
    tried,
  );
}

/** A mistake in the caller's arguments. */
export interface Wrong {
  /** The option that is wrong. */
  readonly option?: string;
  /** A clause that follows the name of the option, if there is one: `must be true or false`. */
  readonly wrong?: string;
  /** How to write it: `write ./@app for a file of that name`. */
  readonly right?: string | undefined;
  /** An option that helps instead. Each front end spells it in its own words. */
  readonly instead?: Advice;
}

/** Returns the error for a mistake of the caller. */
export function explainWrong(
  address: string | undefined,
  reason: Reason,
  code: string,
  wrong: Wrong = {},
  task: Task = 'listen on',
): SocketAddressError {
  return failure(task, address, reason, { code, call: '', ...wrong });
}

/** Returns the error for a connection whose peer the kernel does not reveal. */
export function explainUnknownPeer(errno: Errno): SocketAddressError {
  return failure(peerTask, undefined, 'no-credentials', { code: errno, call: 'getsockopt' });
}

export const peerTask = 'tell which process is at the other end';

/** The system call that stands for the task if this package decided on the code itself. */
const calls = {
  'listen on': 'listen',
  'connect to': 'connect',
  inspect: 'lstat',
  clean: 'unlink',
  [peerTask]: 'getsockopt',
} satisfies Record<Task, string>;

type Known = Pick<Facts, 'code' | 'call' | 'handover' | 'unpassed'> &
  Wrong & { readonly path?: string | undefined; readonly isSibling?: boolean };

function failure(
  task: Task,
  address: string | undefined,
  reason: Reason,
  known: Known,
  holder?: Holder,
  tried?: string,
): SocketAddressError {
  const { code, call, path, handover, unpassed, isSibling, wrong, right, option, instead } = known;
  const standing = holder && standingOf(holder, isSibling === true);
  const explanation: Explanation = {
    task,
    address,
    reason,
    tried,
    facts: {
      code,
      call,
      holder: standing === 'ourselves' ? `this very process (${process.pid})` : describe(holder),
      since: sinceWhen(holder),
      pid: holder?.pid,
      standing,
      handover,
      unpassed,
      path: show(path === undefined ? '' : tidy(path)),
      kind: reason === 'not-a-socket' && path !== undefined ? describeFile(path) : '',
      user: describeUser,
      owner: () => describeOwner(path ?? ''),
      listens: task === 'listen on',
      wrong: wrong ?? '',
      right,
      option,
      instead,
    },
  };
  const verdict: boolean = 'verdict' in reasons[reason];
  const { message, shortMessage } = messageOf(explanation, library);
  return new SocketAddressError(message, {
    code,
    reason,
    syscall: verdict ? calls[task] : call === 'probe' ? 'connect' : call,
    address: address ?? '',
    holder,
    shortMessage,
    explanation,
  });
}

function standingOf(holder: Holder, isSibling: boolean): Facts['standing'] {
  const { pid, host, pidNamespace, stopped } = holder;
  // A process in another container may have the same pid as this one.
  if (host === undefined && pidNamespace === undefined && pid === process.pid) return 'ourselves';
  if (stopped === true) return 'stopped';
  if (isSibling) return 'sibling';
  if (isFellowWorker(pid)) return 'worker';
  return isOwnRun(holder) ? 'supervisor' : undefined;
}

/**
 * Turns the `/a/./sub/` that realpath(3) was asked for into `/a/sub`. path.normalize would be
 * wrong: it resolves `..` before symlinks.
 */
function tidy(path: string): string {
  return path.replaceAll(/\/\.(?=\/|$)/g, '').replace(/(?<=.)\/$/, '') || '/';
}
