import { hasConnections, socketTypeDefault, type SocketType } from '../address/socketType.js';
import type { Place, Target } from '../claim/place.js';
import { refuse, type Refusal } from '../claim/refusal.js';
import { show } from '../errors/show.js';
import { Descriptor } from '../kernel/descriptor.js';
import { adopt, adopted, describeSocket, fcntl, ownPidfdInode, seePassed } from '../kernel/descriptors.js';
import { failed } from '../kernel/kernel.js';
import { sendNotification } from '../kernel/notify.js';
import { kernel } from '../kernel/posix.js';
import type { Acceptor } from './acceptor.js';
import type { Attempt } from './attempt.js';
import { Hold } from './hold.js';
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
 * @see sd_notify(3)
 */
export function sayReady(retryMs = 10): void {
  const sent = notifySocket === undefined ? 0 : sendNotification(notifySocket, 'READY=1');
  // The queue is full, because other processes send to that socket too.
  if (sent === 'EAGAIN') setTimeout(sayReady, retryMs, Math.min(retryMs * 2, retryMsMax)).unref();
}

/**
 * Whether `reuseaddr run` passed our sockets. If so, the previous instance may still accept on
 * them.
 */
export function passedByRun(): boolean {
  return notifySocket !== undefined;
}

/**
 * Returns the claim of the process that passed a socket bound to the requested address, if there is
 * one. No lock is taken. The socket becomes close-on-exec and non-blocking.
 *
 * Each is returned once in the life of the process: two threads that accept on one descriptor would
 * close it under each other.
 *
 * @see sd_listen_fds(3)
 */
export function inherit(attempt: Attempt, acceptor: Acceptor): Hold | Refusal | undefined {
  const { request, target } = attempt;
  const inherited = inheritedSockets();
  const place = 'abstract' in target ? undefined : target.place;
  const index = inherited.findIndex((socket) => isBoundTo(socket, target));
  if (index >= 0 && inherited[index]?.type !== (request.terms.type ?? socketTypeDefault))
    return refuse('other-type', 'EADDRINUSE', 'listen', place?.path);
  const listenFd = index < 0 ? undefined : inherited.splice(index, 1)[0]?.fd;
  const taken = listenFd === undefined ? hasOtherThread(target) : failed(adopt(listenFd));
  if (taken) return refuse('other-thread', 'EADDRINUSE', 'listen', place?.path);
  if (listenFd === undefined) return undefined;
  if (place !== undefined && request.mode !== undefined) warnOfMode(place, request.mode);
  return new Hold({ listenFd, inherited: true }, attempt, acceptor);
}

/** Whether there is a socket that `inherit` would take. */
export function isInherited(target: Target): boolean {
  return inheritedSockets().some((socket) => isBoundTo(socket, target));
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
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID']) delete environment[name];
  const found: InheritedSocket[] = [];
  for (let fd = firstFd; fd < firstFd + Number(count); fd++) {
    const seen = seePassed(fd);
    if (failed(seen)) continue;
    if (seen.first) fcntl(fd, 'F_SETFD', 'FD_CLOEXEC');
    const socket = describeSocket(fd);
    if (failed(socket) || socket.name === '' || (hasConnections(socket.type) && !socket.listening)) continue;
    if (seen.first) fcntl(fd, 'F_SETFL', 'O_NONBLOCK');
    found.push({ fd, type: socket.type, name: socket.name });
  }
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
 * Whether another thread has the inherited socket of the address. A worker that was started
 * afterwards finds no LISTEN_FDS in its environment.
 */
function hasOtherThread(target: Target): boolean {
  for (let fd = firstFd; fd < firstFd + fdsMax; fd++) {
    const has = adopted(fd);
    if (failed(has)) return false;
    if (!has || Descriptor.at(fd) !== undefined) continue;
    const socket = describeSocket(fd);
    if (!failed(socket) && isBoundTo({ fd, ...socket }, target)) return true;
  }
  return false;
}

function isBoundTo(socket: InheritedSocket, target: Target): boolean {
  if ('place' in target) return isAt(socket, target.place);
  // Each type of socket has abstract names of its own.
  return socket.name === `\0${target.abstract}` && socket.type === (target.type ?? socketTypeDefault);
}

/**
 * Compares the file that the socket is bound to, since a long path was bound under another name.
 * Falls back to the name if the kernel cannot tell.
 */
function isAt({ fd, name }: InheritedSocket, place: Place): boolean {
  const named = kernel.fstatat(place.directory.fd, place.name);
  if (failed(named) || named.type !== 'socket') return false;
  const bound = kernel.sock_diag(fd);
  if (failed(bound) || bound.dev !== named.dev) return name === place.path;
  return bound.ino === BigInt.asUintN(32, named.ino);
}
