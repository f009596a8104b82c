import type { Cluster, Worker } from 'node:cluster';
import { resolve } from 'node:path';
import { clearTimeout, setTimeout } from '../kernel/clock.js';
import { drain } from '../server/drain.js';
import type { ListeningHandle, NodeServer } from './node.js';

/**
 * How long to wait for workers to take the connections that the primary has accepted, in
 * milliseconds. A worker may be stopped.
 */
const deliveryMs = 5000;

/**
 * Messages with such a name are internal: node:child_process emits `internalMessage`, and the
 * program does not see them.
 */
const command = 'NODE_REUSEADDR';

interface DrainMessage {
  readonly cmd: typeof command;
  readonly drain: string;
}

/** `server.listen` has already loaded it, so this costs nothing. */
function nodeCluster(): Cluster {
  return process.getBuiltinModule('node:cluster') as unknown as Cluster;
}

export function isWorker(): boolean {
  return nodeCluster().isWorker;
}

/**
 * Whether a listening socket of this process may be one that the primary of node:cluster shares
 * out.
 */
export function hasWorkers(): boolean {
  const { isPrimary, workers } = nodeCluster();
  return isPrimary && Object.keys(workers ?? {}).length > 0;
}

/** A connection whose handle the primary holds until a worker has taken it. */
interface Connection {
  close(...args: readonly unknown[]): void;
}

type OnConnection = (this: unknown, status: number, connection: Connection | undefined) => void;

/** The connections that the primary has accepted and that no worker has taken yet. */
export class Deliveries {
  readonly #open = new Set<Connection>();
  #done: (() => void) | undefined;

  /**
   * Sees every connection before node:cluster does: node:cluster sets its own `onconnection` some
   * time after this.
   */
  constructor(handle: ListeningHandle) {
    let listener: OnConnection | undefined;
    const seen = (connection: Connection): void => this.#add(connection);
    Object.defineProperty(handle, 'onconnection', {
      configurable: true,
      enumerable: true,
      get: () => listener,
      set(set: OnConnection) {
        listener = function (status, connection) {
          if (connection !== undefined) seen(connection);
          set.call(this, status, connection);
        };
      },
    });
  }

  #add(connection: Connection): void {
    const { close } = connection;
    this.#open.add(connection);
    connection.close = (...args) => {
      this.#open.delete(connection);
      if (this.#open.size === 0) this.#done?.();
      close.apply(connection, args as []);
    };
  }

  /** Calls back when workers have taken them all, or when their time is over. */
  whenDone(listener: () => void): void {
    if (this.#open.size === 0) return listener();
    const done = (): void => {
      clearTimeout(timer);
      this.#done = undefined;
      listener();
    };
    const timer = setTimeout(done, deliveryMs);
    this.#done = done;
  }
}

/** The addresses that this process has handed over as the primary of a cluster. */
const handedOver = new Set<string>();

/**
 * Whether this cluster has handed the address over. A worker that is forked later must not ask for
 * it: it would take it back.
 */
export function wasHandedOver(path: string): boolean {
  return handedOver.has(resolve(path));
}

/**
 * Ends this generation of a cluster: the primary accepts no more on this address, its workers come
 * to their end, and the primary with them. Workers that the program forks from now on, such as
 * replacements, have nothing to do, and do not keep the primary alive.
 */
export function endGeneration(path: string, deliveries: Deliveries): void {
  const address = resolve(path);
  if (handedOver.size === 0) nodeCluster().on('fork', leaveAlone);
  handedOver.add(address);
  deliveries.whenDone(() => {
    for (const worker of Object.values(nodeCluster().workers ?? {})) tell(worker, address);
    // A worker that was just starting.
    nodeCluster().on('listening', (worker) => tell(worker, address));
  });
}

function tell(worker: Worker | undefined, address: string): void {
  // It may have ended already.
  if (worker?.isConnected() === true)
    worker.process.send({ cmd: command, drain: address } satisfies DrainMessage, () => undefined);
}

/**
 * Gives no answer to a worker that asks for an address which another generation has. It must not
 * keep the primary alive: at the primary's end, Node ends the worker too. The worker has to ask
 * first, otherwise it would write to a closed channel, and end with an error.
 */
function leaveAlone({ process: child }: Worker): void {
  child.on('internalMessage' as 'message', (message: unknown) => {
    const { act } = message as { readonly act?: string };
    if (act === 'queryServer') {
      child.unref();
      child.channel?.unref();
    } else if (act === 'listening') {
      // Another worker shares its address with this one. It is told to drain, and ends by itself.
      child.ref();
      child.channel?.ref();
    }
  });
}

/**
 * The servers of this worker, by the primary's key for their address; `undefined` for other
 * addresses.
 */
const servers = new Map<NodeServer, string | undefined>();

/**
 * Notes a server that listens in this worker. It drains and ends when the primary has handed its
 * address over.
 */
export function noteServer(server: NodeServer, path: string | undefined): void {
  if (servers.size === 0) process.on('internalMessage' as 'message', onMessage);
  if (!servers.has(server)) server.once('close', () => closed(server));
  servers.set(server, path === undefined ? undefined : resolve(path));
}

let drained = false;

function onMessage(message: unknown): void {
  const { cmd, drain: address } = message as Partial<DrainMessage>;
  if (cmd !== command) return;
  drained = true;
  for (const [server, listensAt] of servers) if (listensAt === address) drain(server);
}

/**
 * The last server of a draining worker has closed: only the channel to the primary would keep the
 * worker alive.
 */
function closed(server: NodeServer): void {
  servers.delete(server);
  if (servers.size > 0) return;
  process.off('internalMessage', onMessage);
  if (drained) nodeCluster().worker?.disconnect();
}
