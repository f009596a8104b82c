import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathBytesMax } from '../address/address.js';
import { failed, type Errno } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/** The purpose of a socket, which is in its name. */
type Purpose = 'notify' | 'run';

/**
 * systemd-tmpfiles(8) removes old sockets from /tmp, even live ones if they were bound by such a
 * name, but leaves files with this bit.
 */
const sticky = 0o1000;

/** A socket for the program that `run` starts. */
export interface HiddenSocket {
  readonly fd: number;
  /** As in NOTIFY_SOCKET: a path, or `@` and an abstract name. */
  readonly name: string;
  /** Removes its file. */
  remove(): void;
}

/**
 * Binds a socket in a directory where other users cannot find it. If there is no place for such a
 * directory, it gets an abstract name, which every user can find and flood.
 */
export function bindHidden(purpose: Purpose, bind: (name: string) => number | Errno): HiddenSocket | Errno {
  const directory = makeDirectory(`reuseaddr-${purpose}-`);
  const fd = directory === undefined ? 'ENOENT' : bind(directory.boundName);
  if (directory !== undefined && !failed(fd)) {
    directory.opened();
    return { fd, name: directory.path, remove: directory.remove };
  }
  directory?.remove();
  const name = `reuseaddr/${purpose}/${randomUUID()}`;
  const abstract = bind(`\0${name}`);
  return failed(abstract) ? abstract : { fd: abstract, name: `@${name}`, remove: () => undefined };
}

interface Directory {
  /** The path of the socket. */
  readonly path: string;
  /** The name to bind. /proc/net/unix shows it to every user, so it does not reveal the path. */
  readonly boundName: string;
  /** Must be called when the socket is bound. */
  opened(): void;
  remove(): void;
}

/**
 * Creates a directory for a socket that only the program can find.
 *
 * Root's program may drop its privileges before it uses the socket, so other users may then enter
 * the directory. But they cannot list it, and cannot guess the name of the socket.
 */
function makeDirectory(prefix: string, parent: string = tmpdir()): Directory | undefined {
  try {
    removeAbandoned(prefix, parent);
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
    if (Buffer.byteLength(path) <= pathBytesMax) return { path, boundName: `/proc/self/fd/${fd}/${name}`, opened, remove };
    fs.closeSync(fd);
    remove();
  } catch {
    // The parent is missing, full or read-only.
  }
  return undefined;
}

/** Removes the directories of this user whose sockets are dead, left by a killed run. */
function removeAbandoned(prefix: string, parent: string): void {
  for (const name of fs.readdirSync(parent)) if (name.startsWith(prefix)) removeIfDead(join(parent, name));
}

/** An empty directory is left alone for this long, because a run may be about to bind there. */
const emptyMsMin = 60_000;

/** connect(2) fails alike at a regular file. */
function isDeadSocket(path: string): boolean {
  return fs.lstatSync(path).isSocket() && kernel.probe(path) === 'ECONNREFUSED';
}

function removeIfDead(directory: string): void {
  let fd: number | undefined;
  try {
    fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW);
    const { uid, mtimeMs } = fs.fstatSync(fd);
    if (uid !== process.geteuid?.()) return;
    // By the descriptor: a user who may rename directories here must not make us remove the files
    // of another one.
    const files = fs.readdirSync(`/proc/self/fd/${fd}`).map((name) => `/proc/self/fd/${fd}/${name}`);
    if (files.length === 0 ? Date.now() - mtimeMs < emptyMsMin : !files.every(isDeadSocket)) return;
    for (const file of files) fs.unlinkSync(file);
    fs.rmdirSync(directory);
  } catch {
    // Another run is removing it, or is just binding its socket.
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}
