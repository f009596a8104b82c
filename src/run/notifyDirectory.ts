import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kernel } from '../kernel/posix.js';

const prefix = 'reuseaddr-notify-';

/** The longest name that sd_notify(3) can connect to. */
const nameBytesMax = 107;

/**
 * systemd-tmpfiles(8) removes old sockets from /tmp, even live ones if they were bound by such a
 * name, but leaves files with this bit.
 */
const sticky = 0o1000;

/** A directory for one socket that no other user can find. */
export interface NotifyDirectory {
  /** The path of the socket, for NOTIFY_SOCKET. */
  readonly path: string;
  /** The name to bind. /proc/net/unix shows it to every user, so it does not reveal the path. */
  readonly boundName: string;
  /** Must be called when the socket is bound. */
  opened(): void;
  remove(): void;
}

/**
 * Creates a directory for a socket that only the program can find. Undefined: there is no place for
 * one, and an abstract name has to do.
 *
 * Root's program may drop its privileges before it says READY=1, so other users may then enter the
 * directory. But they cannot list it, and cannot guess the name of the socket.
 */
export function makeNotifyDirectory(parent: string = tmpdir()): NotifyDirectory | undefined {
  try {
    removeAbandoned(parent);
    const directory = fs.mkdtempSync(join(parent, prefix));
    const isRoot = process.geteuid?.() === 0;
    const name = randomUUID();
    const path = join(directory, name);
    const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
    const remove = (): void => {
      process.off('exit', remove);
      fs.rmSync(directory, { recursive: true, force: true });
    };
    process.on('exit', remove);
    fs.fchmodSync(fd, isRoot ? 0o711 : 0o700);
    const opened = (): void => {
      fs.closeSync(fd);
      fs.chmodSync(path, sticky | (isRoot ? 0o666 : 0o600));
    };
    if (Buffer.byteLength(path) <= nameBytesMax) return { path, boundName: `/proc/self/fd/${fd}/${name}`, opened, remove };
    fs.closeSync(fd);
    remove();
  } catch {
    // The parent is missing, full or read-only.
  }
  return undefined;
}

/** Removes the directories of this user whose sockets are dead, left by a killed run. */
function removeAbandoned(parent: string): void {
  for (const name of fs.readdirSync(parent)) if (name.startsWith(prefix)) removeIfDead(join(parent, name));
}

function removeIfDead(directory: string): void {
  let fd: number | undefined;
  try {
    fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW);
    if (fs.fstatSync(fd).uid !== process.geteuid?.()) return;
    // By the descriptor: a user who may rename directories here must not make us remove the files
    // of another one.
    const [socket] = fs.readdirSync(`/proc/self/fd/${fd}`);
    if (socket === undefined || kernel.probe(`/proc/self/fd/${fd}/${socket}`) !== 'ECONNREFUSED') return;
    fs.unlinkSync(`/proc/self/fd/${fd}/${socket}`);
    fs.rmdirSync(directory);
  } catch {
    // Another run is removing it, or is just binding its socket.
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}
