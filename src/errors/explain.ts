import { dirname } from 'node:path';
import type { Refusal } from '../claim/refusal.js';
import { isFellowWorker } from '../holder/cluster.js';
import { holderOfRecord, type Holder } from '../holder/holder.js';
import type { Errno } from '../kernel/kernel.js';
import { library, type Advice } from './advice.js';
import { describe, describeFile, describeOwner, describeUser, sinceWhen } from './describe.js';
import { SocketAddressError } from './error.js';
import type { Facts } from './facts.js';
import { messageOf, type Explanation, type Task } from './message.js';
import { reasons, type Reason } from './reasons.js';
import { show } from './show.js';

/** Why an address could not be connected to. */
export type Unreachable =
  // These may pass, and are tried again until the deadline.
  | 'absent'
  | 'no-directory'
  | 'stale'
  | 'starting'
  | 'backlog-full'
  // These don't.
  | 'denied'
  | 'not-a-socket'
  | 'not-a-stream'
  | 'too-long'
  | 'system';

/** The error for a refused start. */
export function explain(address: string, refusal: Refusal, known?: Holder, task: Task = 'listen on'): SocketAddressError {
  const { refused, errno, syscall, path, handover, record } = refusal;
  const holder = known ?? holderOfRecord(record);
  return failure(task, address, refused, { code: errno, call: syscall, path, handover }, holder);
}

/** Why the last attempt to connect failed. */
export interface FailedConnect {
  readonly unreachable: Unreachable;
  readonly errno: Errno;
  readonly syscall: string;
}

/** The error for a connection that failed, after it was tried for this long. */
export function explainConnect(
  address: string,
  { unreachable, errno, syscall }: FailedConnect,
  triedMs: number,
  holder?: Holder,
): SocketAddressError {
  const path = unreachable === 'no-directory' ? dirname(address) : address;
  const tried =
    triedMs > 0 ? `Gave up after ${triedMs < 1000 ? `${triedMs} ms` : `${Math.round(triedMs / 100) / 10} s`}.` : undefined;
  return failure('connect to', address, unreachable, { code: errno, call: syscall, path }, holder, tried);
}

/** What is wrong with what a caller passed. */
export interface Wrong {
  /** The option that it is about. */
  readonly option?: string;
  /** A clause, after the name of the option where there is one: `must be true or false`. */
  readonly wrong?: string;
  /** How to write it: `write ./@app for a file of that name`. */
  readonly right?: string | undefined;
  /** An option that helps instead, which each front end spells in its own words. */
  readonly instead?: Advice;
}

/** The error for a mistake of the caller. */
export function explainWrong(
  address: string | undefined,
  reason: Reason,
  code: string,
  wrong: Wrong = {},
  task: Task = 'listen on',
): SocketAddressError {
  return failure(task, address, reason, { code, call: '', ...wrong });
}

/** The error for a connection whose peer the kernel does not tell. */
export function explainUnknownPeer(errno: Errno): SocketAddressError {
  return failure(peerTask, undefined, 'no-credentials', { code: errno, call: 'getsockopt' });
}

export const peerTask = 'tell which process is at the other end';

/** The system call that stands for the task where the code is our verdict. */
const calls = {
  'listen on': 'listen',
  'connect to': 'connect',
  inspect: 'lstat',
  clean: 'unlink',
  [peerTask]: 'getsockopt',
} satisfies Record<Task, string>;

type Known = Pick<Facts, 'code' | 'call' | 'handover'> & Wrong & { readonly path?: string | undefined };

function failure(
  task: Task,
  address: string | undefined,
  reason: Reason,
  known: Known,
  holder?: Holder,
  tried?: string,
): SocketAddressError {
  const { code, call, path, handover, wrong, right, option, instead } = known;
  const standing = holder && standingOf(holder);
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

/** The pid of a process in another container may be ours here. */
function standingOf({ pid, host, pidNamespace, stopped }: Holder): Facts['standing'] {
  if (host === undefined && pidNamespace === undefined && pid === process.pid) return 'ourselves';
  if (stopped === true) return 'stopped';
  return isFellowWorker(pid) ? 'worker' : undefined;
}

/** As realpath(3) was asked it is `/a/./sub/`. Not path.normalize: it takes the `..` of a symlink for the directory that the link is in. */
function tidy(path: string): string {
  return path.replaceAll(/\/\.(?=\/|$)/g, '').replace(/(?<=.)\/$/, '') || '/';
}
