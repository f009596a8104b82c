import { createServer, type Server, type Socket } from 'node:net';
import { acceptOn } from '../handover/acceptOn.js';
import type { Message, SocketIdentity } from '../handover/message.js';
import { ancestorsOf } from '../holder/ancestors.js';
import { Descriptor } from '../kernel/descriptor.js';
import { describeSocket, descriptorOf } from '../kernel/descriptors.js';
import { failed, type Errno } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { isBoundTo } from '../server/bound.js';
import { Descendant } from './descendant.js';
import { bindHidden, type HiddenSocket } from './hiddenSocket.js';
import type { Instance } from './instance.js';

/** How many processes may wait in the queue of the socket. */
const backlog = 128;

/** How many connections may be open without a question. One more, and the first is dropped. */
const silentMax = 64;

/** The instances whose processes may have the socket. */
export interface Instances {
  /** Returns the instance that runs as this process. */
  at(pid: number): Instance | undefined;
  becameReady(instance: Instance): void;
}

/**
 * Passes the listening socket on to processes below the instances that ask for it: the program that
 * a wrapper such as npm has started. One process below each instance has it at a time.
 *
 * The kernel tells which process asks, and /proc tells its ancestors. Another process of the same
 * user receives nothing.
 */
export class Passing {
  /** The value of REUSEADDR_RUN. */
  readonly name: string;
  readonly #hidden: HiddenSocket;
  readonly #instances: Instances;
  readonly #listening: Descriptor | undefined;
  readonly #server: Server;
  readonly #silent = new Set<Descendant>();
  readonly #connected = new Set<Descendant>();
  readonly #passedTo = new WeakMap<Descendant, Instance>();

  private constructor(hidden: HiddenSocket, listenFd: number, instances: Instances) {
    this.name = hidden.name;
    this.#hidden = hidden;
    this.#instances = instances;
    this.#listening = Descriptor.at(listenFd);
    this.#server = createServer((socket) => this.#connect(socket));
    // A failed accept(2) (EMFILE) affects only this process, which is told to ask again.
    this.#server.on('error', () => undefined);
    const descriptor = Descriptor.at(hidden.fd);
    acceptOn(this.#server, hidden.fd, backlog);
    if (this.#server.listening) descriptor?.lend(() => this.#server.close());
    this.#server.unref();
  }

  /** Opens the service. `ENOENT`: there is no /proc, or it is that of another PID namespace. */
  static open(listenFd: number, instances: Instances): Passing | Errno {
    const self = kernel.readlink('/proc/self');
    if (failed(self) || self.path !== String(process.pid)) return 'ENOENT';
    const hidden = bindHidden('run', listenAt);
    return failed(hidden) ? hidden : new Passing(hidden, listenFd, instances);
  }

  #connect(socket: Socket): void {
    const connection = descriptorOf(socket);
    const peer = kernel.peerCredentials(connection);
    if (failed(peer) || !mayAsk(peer.uid)) return void socket.destroy();
    const descendant = new Descendant(socket, connection, peer.pid);
    const [first] = this.#silent;
    if (first !== undefined && this.#silent.size >= silentMax) first.disconnect();
    for (const set of [this.#silent, this.#connected]) {
      set.add(descendant);
      void descendant.ended.then(() => set.delete(descendant));
    }
    descendant.hear((message) => this.#heard(descendant, message));
  }

  #heard(descendant: Descendant, message: Message): void {
    const instance = this.#passedTo.get(descendant);
    if (message.kind === 'ask' && this.#silent.delete(descendant)) this.#answer(descendant, message);
    else if (instance === undefined) descendant.disconnect();
    else if (message.kind === 'ready') this.#instances.becameReady(instance);
    else if (message.kind === 'done') instance.closedBy(descendant);
  }

  #answer(descendant: Descendant, asked: SocketIdentity): void {
    const fd = this.#listening?.isOpen === true ? this.#listening.fd : undefined;
    const socket = fd === undefined ? 'EBADF' : describeSocket(fd);
    if (fd === undefined || failed(socket) || !isBoundTo(fd, socket.name, asked))
      return descendant.decline({ why: 'other-address' });
    const instance = this.#instanceAbove(descendant);
    if (instance === undefined) return descendant.decline({ why: 'stranger' });
    const { receiver } = instance;
    if (receiver !== undefined) return descendant.decline({ why: 'busy', pid: receiver.pid });
    if (!descendant.pass(fd)) return descendant.disconnect();
    this.#passedTo.set(descendant, instance);
    instance.passed(descendant);
  }

  #instanceAbove(descendant: Descendant): Instance | undefined {
    const { pid } = descendant;
    for (const each of [pid, ...ancestorsOf(pid)]) {
      const instance = this.#instances.at(each);
      // Otherwise the pid may by now be that of another process.
      if (instance !== undefined) return descendant.exists ? instance : undefined;
    }
    return undefined;
  }

  close(): void {
    this.#server.close();
    for (const descendant of this.#connected) descendant.disconnect();
    this.#hidden.remove();
  }
}

/** The same user and root may ask. Root's program may have dropped its privileges. */
function mayAsk(uid: number): boolean {
  const own = process.geteuid?.() ?? -1;
  return uid === own || uid === 0 || own === 0;
}

function listenAt(name: string): number | Errno {
  const fd = kernel.socket();
  if (failed(fd)) return fd;
  const bound = kernel.bind(fd, name);
  const listening = failed(bound) ? bound : kernel.listen(fd, backlog);
  if (!failed(listening)) return fd;
  kernel.close(fd);
  return listening;
}
