import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import type { Place } from '../claim/place.js';
import { refuse } from '../claim/refusal.js';
import type { SocketAddressError } from '../errors/socketAddressError.js';
import { explain } from '../errors/explain.js';
import { failed, type Errno } from '../kernel/kernel.js';
import { Descriptor } from '../kernel/descriptor.js';
import { kernel } from '../kernel/posix.js';
import type { Acceptor } from '../server/acceptor.js';
import { wrapClose } from '../server/serverAcceptor.js';
import { drain, trackSessions } from '../server/drain.js';
import type { Hold } from '../server/hold.js';
import { Deliveries, endGeneration, hasWorkers } from './cluster.js';
import type { CreateServerHandle, ListeningHandle, NodeServer } from './node.js';

/**
 * Node's handle for a listening socket, and the claim that ends with it.
 *
 * The claim ends when the handle is closed. The server itself closes later, after its last
 * connection. It is tied to the handle, because the primary of node:cluster keeps nothing else.
 */
export class ClaimedHandle {
  readonly handle: ListeningHandle;
  /** The original close. */
  readonly close: () => void;
  #hold: Hold | undefined;
  #closed = false;

  /** @throws {SocketAddressError} Node cannot open the descriptor. */
  constructor(fd: number, address: string, create: CreateServerHandle) {
    const handle = create(null, null, null, fd);
    if (typeof handle === 'number') {
      throw explain(address, refuse('system', getSystemErrorName(handle) as Errno, 'listen'));
    }
    this.handle = handle;
    this.close = wrapClose(handle, Descriptor.at(fd), (closeHandle) => {
      this.#closed = true;
      if (this.#hold === undefined) closeHandle();
      else this.#hold.release(closeHandle);
    });
  }

  /** The claim, which may become known only after the handle has come into use. */
  set hold(hold: Hold) {
    this.#hold = hold;
    if (this.#closed) hold.release();
    else if (hold.place?.long === true) chmodByPath(this.handle, hold.place);
  }
}

/** A server that was told to listen on a path, and does so once the claim is made. */
export class PreloadedServer implements Acceptor {
  readonly #server: NodeServer;
  readonly #id: number;
  readonly #address: string;
  readonly #create: CreateServerHandle;
  /** Makes Node listen on the handle that the server has by then. */
  readonly #listen: () => void;
  #claimed: ClaimedHandle | undefined;
  #deliveries: Deliveries | undefined;
  #hold: Hold | undefined;

  constructor(server: NodeServer, address: string, create: CreateServerHandle, listen: () => void) {
    this.#server = server;
    this.#id = server._listeningId;
    this.#address = address;
    this.#create = create;
    this.#listen = listen;
  }

  /** Whether the server was closed, or told to listen elsewhere, in the meantime. */
  get cancelled(): boolean {
    return this.#claimed === undefined && this.#server._listeningId !== this.#id;
  }

  /** @throws {SocketAddressError} The start was cancelled, or Node cannot open the descriptor. */
  start(fd: number): void {
    if (this.cancelled) throw cancelled(this.#address);
    this.#claimed = new ClaimedHandle(fd, this.#address, this.#create);
    if (hasWorkers()) this.#deliveries = new Deliveries(this.#claimed.handle);
    this.#server._handle = this.#claimed.handle;
    // It starts again after its files were removed.
    if (this.#hold !== undefined) this.#claimed.hold = this.#hold;
    if ('updateSettings' in this.#server) trackSessions(this.#server);
    // Node finds a handle, and only has to listen.
    this.#listen();
  }

  set hold(hold: Hold) {
    this.#hold = hold;
    if (this.#claimed !== undefined) this.#claimed.hold = hold;
  }

  stop(): void {
    this.#claimed?.close();
    this.#claimed = undefined;
    this.#server._handle = null;
  }

  /**
   * Closes the handle with the descriptor that was lent to it, before the event loop turns. The
   * primary of node:cluster takes the handle away from its server, and its workers have the
   * connections.
   */
  drain(): void {
    if (this.#deliveries === undefined || this.#server._handle !== null) return drain(this.#server);
    endGeneration(this.#address, this.#deliveries);
  }
}

function cancelled(address: string): SocketAddressError {
  return explain(address, refuse('cancelled', 'ECANCELED', 'listen'));
}

/** UV_READABLE and UV_WRITABLE, and the permissions that they stand for. */
const permissions = [
  { flag: 1, bits: 0o444 },
  { flag: 2, bits: 0o222 },
] as const;

/**
 * libuv looks for the file under the bound name. For a long path that was a name in /proc/self/fd,
 * which is gone.
 */
function chmodByPath(handle: ListeningHandle, { directory, name }: Place): void {
  handle.fchmod = (flags) => {
    const file = kernel.fstatat(directory.fd, name);
    if (failed(file)) return -constants.errno.ENOENT;
    const added = permissions.filter(({ flag }) => (flags & flag) !== 0);
    const mode = added.reduce((bits, more) => bits | more.bits, file.mode);
    return kernel.fchmodat(directory.fd, name, mode) === 0 ? 0 : -constants.errno.EPERM;
  };
}
