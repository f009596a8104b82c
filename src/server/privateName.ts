import { mkdirSync, rmdirSync } from 'node:fs';
import { namesOf } from '../address/names.js';
import { pathBytesMax, fits } from '../address/address.js';
import { publish } from '../claim/publish.js';
import { pathOf, throughOf, type Named } from '../claim/place.js';
import { isRefusal, refuse, type Refusal } from '../claim/refusal.js';
import { explain, explainWrong } from '../errors/explain.js';
import { describeSocket } from '../kernel/descriptors.js';
import { AT_FDCWD, failed, run, type Errno } from '../kernel/kernel.js';
import { kernel, readdir } from '../kernel/posix.js';
import type { PathnameHold } from './held.js';
import type { Hold } from './hold.js';

const passed = {
  wrong: "the runtime's own server takes no descriptor, and this socket was passed to the process",
  right: 'use a server of node:net',
};

let count = 0;

/**
 * A name that the runtime itself binds, for a server that takes no descriptor. It is in a directory
 * for this user alone, next to the address. Then `publish` gives the socket its real name.
 *
 * The runtime unlinks the private name when it closes the socket, and thus nothing: no other socket
 * ever has that name.
 */
export class PrivateName {
  /** The name for bind(2). */
  readonly path: string;
  readonly #hold: Hold;
  readonly #held: PathnameHold;
  readonly #directory: Named;
  readonly #bound: Named;

  /**
   * Makes the directory, under the lock of the claim.
   *
   * @throws {SocketAddressError}
   */
  constructor(hold: Hold) {
    const { held, request } = hold;
    if (held.place === undefined) throw explainWrong(request.text, 'unsupported', 'ENOTSUP', passed);
    const { place } = held;
    this.#hold = hold;
    this.#held = held;
    this.#directory = { directory: place.directory, name: namesOf(place.name).private };
    const path = pathOf(this.#directory);
    const fd = this.#make();
    if (typeof fd !== 'number') throw explain(request.text, fd);
    this.#bound = { directory: { fd, path, through: `/proc/self/fd/${fd}` }, name: `${process.pid}-${++count}` };
    const named = pathOf(this.#bound);
    this.path = fits(named, pathBytesMax) ? named : throughOf(this.#bound);
  }

  #make(): number | Refusal {
    const path = pathOf(this.#directory);
    // A crash may have left it.
    this.#removeDirectory();
    try {
      mkdirSync(path, 0o700);
    } catch (error) {
      const { code = 'EIO' } = error as { readonly code?: Errno };
      return refuse('system', code, 'bind', path);
    }
    const fd = kernel.openat(this.#directory.directory.fd, this.#directory.name, openFlags, 0);
    if (failed(fd)) return refuse('system', fd, 'open', path);
    const status = kernel.fstat(fd);
    // In a directory in which others may rename files, it may be another one by now.
    if (!failed(status) && status.uid === kernel.geteuid()) return fd;
    kernel.close(fd);
    return refuse('unstable', 'EADDRINUSE', 'bind', path);
  }

  /**
   * Gives the socket that the runtime has bound its mode, owner, backlog and name. The hold pins
   * its file from then on.
   *
   * @throws {SocketAddressError}
   */
  publish(): void {
    const { place } = this.#held;
    const { text, terms } = this.#hold.request;
    const pin = kernel.openat(this.#bound.directory.fd, this.#bound.name, 'O_PATH|O_NOFOLLOW|O_CLOEXEC', 0);
    if (failed(pin)) throw explain(text, refuse('system', pin, 'bind', place.path));
    const identity = run(kernel, publish(place, this.#held, terms, this.#bound));
    if (isRefusal(identity)) {
      kernel.close(pin);
      throw explain(text, identity);
    }
    setBacklog(this.path, terms.backlog);
    this.#hold.exchange({ listenFd: pin, identity });
    this.#removeDirectory();
  }

  /** Ends the use of the name, after the runtime has closed the socket, or failed to bind it. */
  close(): void {
    this.#removeDirectory();
    kernel.close(this.#bound.directory.fd);
  }

  #removeDirectory(): void {
    const { directory, name } = this.#directory;
    const fd = kernel.openat(directory.fd, name, openFlags, 0);
    if (failed(fd)) return;
    const left = readdir(fd);
    if (!failed(left)) for (const entry of left) kernel.unlinkat(fd, entry.name);
    kernel.close(fd);
    try {
      rmdirSync(pathOf(this.#directory));
    } catch {
      // It belongs to another user, and the next start says so.
    }
  }
}

const openFlags = 'O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC';

/** Sets the backlog of the runtime's own socket, which has that of the runtime. */
function setBacklog(name: string, backlog: number): void {
  const directory = kernel.openat(AT_FDCWD, '/proc/self/fd', 'O_PATH|O_DIRECTORY|O_CLOEXEC', 0);
  if (failed(directory)) return;
  const entries = readdir(directory);
  kernel.close(directory);
  if (failed(entries)) return;
  for (const fd of entries.map((entry) => Number(entry.name))) {
    const socket = describeSocket(fd);
    if (!failed(socket) && socket.name === name) kernel.listen(fd, backlog);
  }
}
