import { fork, type ChildProcess } from 'node:child_process';
import { fixtureBeside } from '../support/program.js';

const program = fixtureBeside(import.meta.url, 'actor.mjs');

/** CLOCK_MONOTONIC in milliseconds: the same for every process of the machine. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** The messages of a process about itself, with their times. */
export interface ActorMessage {
  readonly at: number;
  readonly event: string;
  readonly attempt?: string;
  readonly socket?: number;
  readonly code?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly what?: string;
}

export interface ActorListeners {
  heard(actor: Actor, message: ActorMessage): void;
  printed(actor: Actor, text: string): void;
  /** It was waited for: the kernel has closed all that it had open. */
  ended(actor: Actor, how: string): void;
}

/** A process that takes part. */
export class Actor {
  readonly child: ChildProcess;
  readonly ready: Promise<unknown>;
  /** It was waited for, and all that it had said has been heard. */
  readonly ended: Promise<unknown>;
  stopped = false;
  /** It was killed, or told to exit. */
  dying = false;
  /** It has ended, perhaps by itself. */
  over = false;

  constructor({ heard, printed, ended }: ActorListeners) {
    this.child = fork(program, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    this.ready = new Promise((resolve) => this.child.once('message', resolve));
    const waitedFor = new Promise<void>((resolve) => {
      this.child.once('exit', (code, signal) => {
        this.over = true;
        ended(this, String(code ?? signal));
        resolve();
      });
    });
    this.ended = Promise.all([waitedFor, new Promise<void>((resolve) => this.child.once('disconnect', resolve))]);
    this.child.on('error', () => undefined);
    this.child.on('message', (message) => heard(this, message as ActorMessage));
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => printed(this, text.trimEnd()));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  ask(action: string, args: object): void {
    if (!this.dying) this.child.send({ action, args }, () => undefined);
  }
}
