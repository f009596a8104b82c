import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fixtureBeside } from '../support/program.js';

const program = fixtureBeside(import.meta.url, 'actor.mjs');

/** What a process tells of itself, at what time of CLOCK_MONOTONIC. */
export interface ActorMessage {
  readonly at: number;
  readonly event: string;
  readonly attempt?: string;
  readonly code?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly what?: string;
}

/** A process that takes part. */
export class Actor {
  readonly child: ChildProcess;
  readonly ready: Promise<unknown>;
  readonly ended: Promise<unknown>;
  stopped = false;
  dead = false;

  constructor(heard: (actor: Actor, message: ActorMessage) => void, printed: (actor: Actor, text: string) => void) {
    this.child = fork(program, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    this.ready = once(this.child, 'message');
    this.ended = once(this.child, 'exit');
    this.child.on('error', () => undefined);
    this.child.on('message', (message) => heard(this, message as ActorMessage));
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => printed(this, text.trimEnd()));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  ask(action: string, args: object): void {
    if (!this.dead) this.child.send({ action, args }, () => undefined);
  }
}
