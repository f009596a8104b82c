import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fixtureBeside } from '../support/program.js';
import type { Look } from './soakRecord.js';

const program = fixtureBeside(import.meta.url, 'observer.mjs');

interface ObserverMessage {
  readonly looks?: readonly Look[];
  readonly stopped?: boolean;
}

/** A process that connects to an address again and again. */
export class Observer {
  readonly #child: ChildProcess;
  readonly #ready: Promise<unknown>;
  #looks: Look[] = [];
  #stopped: Promise<void> = Promise.resolve();

  constructor(address: string) {
    this.#child = fork(program, [address]);
    this.#ready = once(this.#child, 'message');
  }

  /** What it has found since `start`. */
  get looks(): readonly Look[] {
    return this.#looks;
  }

  async start(): Promise<void> {
    await this.#ready;
    this.#looks = [];
    this.#stopped = this.#collect();
    this.#child.send('start');
  }

  async #collect(): Promise<void> {
    for (;;) {
      const [message] = (await once(this.#child, 'message')) as [ObserverMessage];
      this.#looks.push(...(message.looks ?? []));
      if (message.stopped === true) return;
    }
  }

  /** Fulfilled when each connection that it has begun has come to its end. */
  async stop(): Promise<void> {
    this.#child.send('stop');
    await this.#stopped;
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}
