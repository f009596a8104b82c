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
  #stopped: () => void = () => undefined;

  constructor(address: string) {
    this.#child = fork(program, [address]);
    this.#ready = once(this.#child, 'message');
    this.#child.on('error', () => undefined); // It was ended, and is told something still.
    // One listener for all: of messages that come together, `once` after `once` would hear the
    // first.
    this.#child.on('message', (message) => this.#hear(message as ObserverMessage));
  }

  #hear({ looks = [], stopped }: ObserverMessage): void {
    this.#looks.push(...looks);
    if (stopped === true) this.#stopped();
  }

  /** Its findings since `start`. */
  get looks(): readonly Look[] {
    return this.#looks;
  }

  async start(): Promise<void> {
    await this.#ready;
    this.#looks = [];
    this.#child.send('start');
  }

  /** Fulfilled when each connection that it has begun has come to its end. */
  async stop(): Promise<void> {
    const stopped = new Promise<void>((resolve) => (this.#stopped = resolve));
    this.#child.send('stop');
    await stopped;
  }

  end(): void {
    this.#child.kill('SIGKILL');
  }
}
