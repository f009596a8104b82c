import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { failed, type Errno } from '../kernel/kernel.js';
import { openNotifySocket, receiveNotification, type Notification } from '../kernel/notify.js';
import { kernel } from '../kernel/posix.js';
import { waitingKernel } from '../kernel/wait.js';

/** Where even a wait can't begin (no threads left). */
const errorRestMs = 1000;

/**
 * The socket to which the program says `READY=1`, sd_notify(3). It has an abstract name: there is no file that a crash could leave.
 * Anybody may send to it, so each message comes with the process that sent it.
 */
export class Notifications {
  /** As NOTIFY_SOCKET has it. */
  readonly name: string;
  readonly #fd: number;
  readonly #closed = new AbortController();

  private constructor(name: string, fd: number) {
    this.name = name;
    this.#fd = fd;
  }

  /** `ENOSYS`: there is no such thing on this system. */
  static open(): Notifications | Errno {
    const name = `reuseaddr/notify/${randomUUID()}`;
    const fd = openNotifySocket(`\0${name}`);
    return failed(fd) ? fd : new Notifications(`@${name}`, fd);
  }

  /** Gives every message to `heard`, until it is closed. */
  async serve(heard: (notification: Notification) => void): Promise<void> {
    const { signal } = this.#closed;
    const waiting = waitingKernel(signal);
    while (!signal.aborted) {
      const ready = await waiting.poll(this.#fd, Infinity);
      let received = failed(ready) ? ready : receiveNotification(this.#fd);
      if (failed(ready)) await pause(errorRestMs, undefined, { signal }).catch(() => undefined);
      for (; !failed(received); received = receiveNotification(this.#fd)) heard(received);
    }
    kernel.close(this.#fd);
  }

  close(): void {
    this.#closed.abort();
  }
}

/** Whether a message says that its sender serves. It is lines of `NAME=value`. */
export function saysReady(text: string): boolean {
  return text.split('\n').includes('READY=1');
}
