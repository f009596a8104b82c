import { hasConnections, socketTypeDefault, type SocketType } from '../address/socketType.js';
import type { Place, Target } from '../claim/place.js';
import { isRefusal, refuse, type Refusal } from '../claim/refusal.js';
import { show } from '../errors/show.js';
import { Descriptor } from '../kernel/descriptor.js';
import { markInherited, isInherited, describeSocket, fcntl, ownPidfdInode, seeInherited } from '../kernel/descriptors.js';
import { failed } from '../kernel/kernel.js';
import { sendNotification } from '../kernel/notify.js';
import { kernel } from '../kernel/posix.js';
import type { Acceptor } from './acceptor.js';
import type { Attempt } from './attempt.js';
import { identityAt, isBoundTo } from './bound.js';
import { Hold } from './hold.js';
import {
  askSupervisor,
  askSupervisorNow,
  isSupervised,
  keepFromChildren,
  questionFor,
  type Answer,
  type Passed,
} from './askSupervisor.js';
import type { Supervisor } from './supervisor.js';
import { permitted } from '../kernel/runtime.js';

/** sd_listen_fds(3): SD_LISTEN_FDS_START. */
const firstFd = 3;

/** More than any supervisor passes. LISTEN_FDS is text from outside. */
const fdsMax = 1024;

/**
 * A Unix socket that the parent process passed on, which clients can reach. The parent holds the
 * claim; this process only uses the socket.
 */
interface InheritedSocket {
  readonly fd: number;
  readonly type: SocketType;
  /** A path, as it was bound, or a NUL and an abstract name. */
  readonly name: string;
}

/** LISTEN_FDNAMES, from `reuseaddr run`. */
export const socketName = 'reuseaddr';

/** The longest pause between two attempts to send READY=1, in milliseconds. */
const retryMsMax = 500;

let sockets: InheritedSocket[] | undefined;

/** The socket on which `reuseaddr run` waits for our READY=1. */
let notifySocket: string | undefined;

/**
 * Tells `reuseaddr run` that this process accepts on the inherited socket, so that it may stop the
 * previous instance. Other supervisors are told nothing: only the program knows when it is ready.
 *
 * @param supervisor `run`, if it has passed the socket over a connection
 * @see sd_notify(3)
 */
export function sayReady(supervisor?: Supervisor): void {
  if (supervisor === undefined) notifyReady();
  else supervisor.ready();
}

function notifyReady(retryMs = 10): void {
  const sent = notifySocket === undefined ? 0 : sendNotification(notifySocket, 'READY=1');
  // The queue is full, because other processes send to that socket too.
  if (sent === 'EAGAIN') setTimeout(notifyReady, retryMs, Math.min(retryMs * 2, retryMsMax)).unref();
}

/**
 * Whether `reuseaddr run` passed our sockets. If so, the previous instance may still accept on
 * them.
 */
export function passedByRun(): boolean {
  return notifySocket !== undefined || isSupervised();
}

/**
 * A claim of another process, a refusal, or why the `reuseaddr run` above did not pass its socket.
 */
type Inherited = Hold | Exclude<Answer, Passed>;

/**
 * Returns the claim of the process that passed a socket bound to the requested address, or passes
 * it on request, if there is one. The usual answer comes in this very turn.
 */
export function inherit(attempt: Attempt, acceptor: Acceptor, signal?: AbortSignal): Inherited | Promise<Inherited> {
  const passed = inheritPassed(attempt, acceptor);
  if (passed !== undefined) return passed;
  const asked = askSupervisor(attempt, signal);
  return asked instanceof Promise
    ? asked.then((answer) => inheritAnswer(answer, attempt, acceptor))
    : inheritAnswer(asked, attempt, acceptor);
}

/** Does the same, and blocks this thread until the answer. */
export function inheritNow(attempt: Attempt, acceptor: Acceptor): Inherited {
  return inheritPassed(attempt, acceptor) ?? inheritAnswer(askSupervisorNow(attempt), attempt, acceptor);
}

/**
 * Inherits a socket that was passed at the start of the process. No lock is taken. The socket
 * becomes close-on-exec and non-blocking.
 *
 * Each is returned once in the life of the process: two threads that accept on one descriptor would
 * close it under each other.
 *
 * @see sd_listen_fds(3)
 */
function inheritPassed(attempt: Attempt, acceptor: Acceptor): Hold | Refusal | undefined {
  const { request, target } = attempt;
  const inherited = inheritedSockets();
  const place = 'abstract' in target ? undefined : target.place;
  const index = inherited.findIndex((socket) => isOfTarget(socket, target));
  const found = inherited[index];
  if (found !== undefined && found.type !== (request.terms.type ?? socketTypeDefault))
    return refuse('other-type', 'EADDRINUSE', 'listen', place?.path);
  const listenFd = found?.fd;
  const taken = listenFd === undefined ? findInherited(target) : failed(markInherited(listenFd)) ? 'other-thread' : undefined;
  if (found !== undefined) inherited.splice(index, 1);
  if (taken !== undefined) return { ...refuse(taken, 'EADDRINUSE', 'listen', place?.path), pid: process.pid };
  if (listenFd === undefined) return undefined;
  keepFromChildren();
  return holdInherited({ listenFd }, attempt, acceptor);
}

function inheritAnswer(answer: Answer, attempt: Attempt, acceptor: Acceptor): Inherited {
  return typeof answer === 'object' && !isRefusal(answer) ? holdInherited(answer, attempt, acceptor) : answer;
}

function holdInherited(socket: Partial<Passed> & { readonly listenFd: number }, attempt: Attempt, acceptor: Acceptor): Hold {
  const { request, target } = attempt;
  if ('place' in target && request.mode !== undefined) warnOfMode(target.place, request.mode);
  return new Hold({ ...socket, inherited: true }, attempt, acceptor);
}

/** Whether the socket of the address was passed to this process, or may be on request. */
export function mayInherit(target: Target): boolean {
  return inheritedSockets().some((socket) => isOfTarget(socket, target)) || questionFor(target) !== undefined;
}

function inheritedSockets(): InheritedSocket[] {
  return (sockets ??= permitted(() => readEnvironment(process.env), []));
}

/**
 * Warns about a mode that has no effect. The process that bound the socket decided on its
 * permissions: it may serve other processes too.
 */
function warnOfMode({ directory, name, path }: Place, asked: number): void {
  const file = kernel.fstatat(directory.fd, name);
  if (failed(file) || (file.mode & 0o777) === asked) return;
  const [has, wanted] = [file.mode & 0o777, asked].map((mode) => `0${mode.toString(8)}`);
  process.emitWarning(
    `The socket ${show(path)} was passed to this process and has mode ${has}, not ${wanted}. Only the process that binds it can set the mode: ` +
      (passedByRun() ? `reuseaddr run --mode=${wanted}.` : `SocketMode=${wanted} in a systemd socket unit.`),
    { code: 'REUSEADDR_INHERITED_MODE' },
  );
}

/**
 * Reads LISTEN_PID and LISTEN_FDS, and removes them (and LISTEN_FDNAMES), so that children do not
 * take them for their own. Malformed values belong to another program, and stay.
 *
 * @internal
 */
export function readEnvironment(environment: NodeJS.ProcessEnv): InheritedSocket[] {
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_PIDFDID: pidfd } = environment;
  if (pid !== String(process.pid) || count === undefined || !/^\d{1,4}$/.test(count) || Number(count) > fdsMax) return [];
  if (pidfd !== undefined && !isOwnPidfd(pidfd)) return [];
  if (environment['LISTEN_FDNAMES'] === socketName) notifySocket = environment['NOTIFY_SOCKET'];
  const found: InheritedSocket[] = [];
  for (let fd = firstFd; fd < firstFd + Number(count); fd++) {
    const seen = seeInherited(fd);
    if (failed(seen)) continue;
    if (seen.first) fcntl(fd, 'F_SETFD', 'FD_CLOEXEC');
    const socket = describeSocket(fd);
    if (failed(socket) || socket.name === '' || (hasConnections(socket.type) && !socket.listening)) continue;
    if (seen.first) fcntl(fd, 'F_SETFL', 'O_NONBLOCK');
    found.push({ fd, type: socket.type, name: socket.name });
  }
  // Last: after an exception, the next start reads them again.
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID']) delete environment[name];
  return found;
}

/**
 * Whether a number from LISTEN_PIDFDID is this process. LISTEN_PID may come from another PID
 * namespace, or from an earlier process with that pid. This number belongs to one process only.
 */
function isOwnPidfd(number: string): boolean {
  const own = ownPidfdInode();
  // If the kernel cannot tell now, it could not tell the parent process either.
  return failed(own) || (/^\d{1,20}$/.test(number) && BigInt(number) === own);
}

/**
 * Whether this thread or another one has the inherited socket of the address. A worker that was
 * started afterwards finds no LISTEN_FDS in its environment.
 */
function findInherited(target: Target): 'held' | 'other-thread' | undefined {
  for (let fd = firstFd; fd < firstFd + fdsMax; fd++) {
    const has = isInherited(fd);
    if (failed(has)) return undefined;
    const socket = has ? describeSocket(fd) : 'EBADF';
    if (!failed(socket) && isOfTarget({ fd, ...socket }, target))
      return Descriptor.at(fd) === undefined ? 'other-thread' : 'held';
  }
  return undefined;
}

function isOfTarget({ fd, name, type }: InheritedSocket, target: Target): boolean {
  // Each type of socket has abstract names of its own.
  if ('abstract' in target && type !== (target.type ?? socketTypeDefault)) return false;
  const wanted = identityAt(target);
  return wanted !== undefined && isBoundTo(fd, name, wanted);
}
