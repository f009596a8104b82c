import type { Place, Target } from '../claim/place.js';
import { refuse, type Refusal } from '../claim/refusal.js';
import { show } from '../errors/show.js';
import { adopt, describeSocket, fcntl, ownPidfdInode, seePassed } from '../kernel/descriptors.js';
import { failed } from '../kernel/kernel.js';
import { sendNotification } from '../kernel/notify.js';
import { kernel } from '../kernel/posix.js';

/** sd_listen_fds(3): SD_LISTEN_FDS_START. */
const firstFd = 3;

/** More than any supervisor passes; LISTEN_FDS is text from outside. */
const fdsMax = 1024;

/** A listening Unix socket that whoever started us has passed on. It holds the claim; we only use the socket. */
interface InheritedSocket {
  readonly fd: number;
  /** A path, as it was bound, or a NUL and an abstract name. */
  readonly name: string;
}

/** LISTEN_FDNAMES, from `reuseaddr run`. */
export const socketName = 'reuseaddr';

/** The longest pause between two attempts to say that we are ready. */
const retryMsMax = 500;

let sockets: InheritedSocket[] | undefined;

/** Where `reuseaddr run` waits for our READY=1. */
let notifySocket: string | undefined;

/**
 * Tells `reuseaddr run` that we accept on the socket that it passed us, so that it may stop the instance before us. To other
 * supervisors nothing is said: when a program is ready is for it to know.
 *
 * @see sd_notify(3)
 */
export function sayReady(retryMs = 10): void {
  const sent = notifySocket === undefined ? 0 : sendNotification(notifySocket, 'READY=1');
  // The queue is full, because other processes send to that socket, too.
  if (sent === 'EAGAIN') setTimeout(sayReady, retryMs, Math.min(retryMs * 2, retryMsMax)).unref();
}

/** Whether it was `reuseaddr run` that passed us our sockets: then the instance before us may still accept on them. */
export function passedByRun(): boolean {
  return notifySocket !== undefined;
}

/**
 * The inherited socket that is bound to the asked address, if there is one. It is close-on-exec and non-blocking from here on. Each is
 * given once in the life of the process: two threads that accept on one descriptor would close it under each other.
 *
 * @see sd_listen_fds(3)
 */
export function inheritedSocket(target: Target, mode: number | undefined): number | Refusal | undefined {
  sockets ??= readEnvironment(process.env);
  const index = sockets.findIndex((socket) =>
    'abstract' in target ? socket.name === `\0${target.abstract}` : isAt(socket, target.place),
  );
  if (index < 0) return undefined;
  const [{ fd } = { fd: -1 }] = sockets.splice(index, 1);
  const place = 'abstract' in target ? undefined : target.place;
  if (failed(adopt(fd))) return refuse('other-thread', 'EADDRINUSE', 'listen', place?.path);
  if (place !== undefined && mode !== undefined) warnOfMode(place, mode);
  return fd;
}

/** The permissions of a socket are those that whoever bound it gave it: it may serve others besides us. */
function warnOfMode({ directory, name, path }: Place, asked: number): void {
  const file = kernel.fstatat(directory.fd, name);
  if (failed(file) || (file.mode & 0o777) === asked) return;
  const [has, wanted] = [file.mode & 0o777, asked].map((mode) => `0${mode.toString(8)}`);
  process.emitWarning(
    `The socket ${show(path)} was passed to this process and has mode ${has}; mode ${wanted} is for the process that binds it: ` +
      (passedByRun() ? `reuseaddr run --mode=${wanted}.` : `SocketMode=${wanted} in a systemd socket unit.`),
    { code: 'REUSEADDR_INHERITED_MODE' },
  );
}

/**
 * Reads LISTEN_PID and LISTEN_FDS, and removes them (and LISTEN_FDNAMES), so that children don't take them for theirs. Whatever is
 * not as it should be is not ours, and is left as it is.
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
    if (failed(socket) || socket.type !== 'SOCK_STREAM' || !socket.listening || socket.name === '') continue;
    if (seen.first) fcntl(fd, 'F_SETFL', 'O_NONBLOCK');
    found.push({ fd, name: socket.name });
  }
  return found;
}

/** LISTEN_PID may be one of another PID namespace, or of a process that had it before. This number is given to one process only. */
function isOwnPidfd(number: string): boolean {
  const own = ownPidfdInode();
  // Where the kernel can't tell, it did not tell the one that started us either.
  return failed(own) || (/^\d{1,20}$/.test(number) && BigInt(number) === own);
}

/** By the file that it is bound to, since a long path was bound under another name; by its name where the kernel can't tell. */
function isAt({ fd, name }: InheritedSocket, place: Place): boolean {
  const named = kernel.fstatat(place.directory.fd, place.name);
  if (failed(named) || named.type !== 'socket') return false;
  const bound = kernel.sock_diag(fd);
  if (failed(bound) || bound.dev !== named.dev) return name === place.path;
  return bound.ino === BigInt.asUintN(32, named.ino);
}
