import { setTimeout as pause } from 'node:timers/promises';
import { failed, type Errno } from '../kernel/kernel.js';
import { openNotifySocket, receiveNotification, type Notification } from '../kernel/notify.js';
import { kernel } from '../kernel/posix.js';
import { waitingKernel } from '../kernel/wait.js';
import { bindHidden, type HiddenSocket } from './hiddenSocket.js';

/** The pause if no wait can begin (no threads left). */
const errorRestMs = 1000;

/**
 * The pauses after turns that were full of foreign messages: a flood takes little of our time, and
 * READY=1 still gets through.
 */
const floodRestMs = { first: 5, longest: 80 };

/** How many messages of the program one turn takes. */
const turnMax = 64;

/**
 * The socket to which the program says `READY=1`, sd_notify(3).
 *
 * Other users may find it and flood it, if it has an abstract name. So only messages of the
 * program's own processes are read, and the work of a turn is bounded.
 */
export class Notifications {
  /** The value of NOTIFY_SOCKET. */
  readonly name: string;
  readonly #socket: HiddenSocket;
  readonly #closed = new AbortController();

  private constructor(socket: HiddenSocket) {
    this.name = socket.name;
    this.#socket = socket;
  }

  /** Opens the socket. `ENOSYS`: this system has none. */
  static open(): Notifications | Errno {
    const socket = bindHidden('notify', openNotifySocket);
    return failed(socket) ? socket : new Notifications(socket);
  }

  /** Passes every message of these processes to `heard`, until it is closed. */
  async serve(pids: () => readonly number[], heard: (notification: Notification) => void): Promise<void> {
    const { signal } = this.#closed;
    const waiting = waitingKernel(signal);
    const rest = (ms: number): Promise<unknown> => pause(ms, undefined, { signal }).catch(() => undefined);
    for (let floodedTurns = 0; !signal.aborted;) {
      const ready = await waiting.poll(this.#socket.fd, Infinity);
      if (failed(ready)) {
        await rest(errorRestMs);
        continue;
      }
      floodedTurns = this.#turn(pids(), heard) ? floodedTurns + 1 : 0;
      if (floodedTurns > 0) await rest(Math.min(floodRestMs.first * 2 ** (floodedTurns - 1), floodRestMs.longest));
    }
    kernel.close(this.#socket.fd);
    this.#socket.remove();
  }

  /** Reads the available messages. Returns whether there may be more. */
  #turn(pids: readonly number[], heard: (notification: Notification) => void): boolean {
    for (let i = 0; i < turnMax; i++) {
      const received = receiveNotification(this.#socket.fd, pids);
      if (failed(received)) return received === 'EBUSY';
      heard(received);
    }
    return true;
  }

  close(): void {
    this.#closed.abort();
  }
}

/** Whether a message, which is lines of `NAME=value`, says that its sender serves. */
export function saysReady(text: string): boolean {
  return text.split('\n').includes('READY=1');
}
