import fs from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from './random.js';
import { Actor, now, type ActorListeners, type ActorMessage } from './soakActor.js';
import { violations } from './soakCheck.js';
import { Observer } from './soakObserver.js';
import { bystander, removeUnlocked, whatIsAmiss, whoHas } from './soakPlace.js';
import { endAt, goneAt, isOutsider, type Attempt, type RoundRecord, type Span } from './soakRecord.js';
import { report, type Line } from './soakTimeline.js';

const actorsPerArena = 3;

/**
 * A process that is not done by then never will be: every wait and every takeover has a far shorter
 * deadline.
 */
const hangMs = 600_000;

export interface Counts {
  rounds: number;
  operations: number;
  acquired: number;
  handedOver: number;
  refused: number;
  kills: number;
  exits: number;
  stops: number;
  lockFilesRemoved: number;
  strays: number;
  displacers: number;
  looks: number;
  answered: number;
}

/** A guarantee was broken. The message has the round's whole timeline. */
export class SoakFailed extends Error {}

interface Part extends Attempt {
  readonly actor: Actor;
}

/** One address, the processes that want it, and the observer. */
export class Arena {
  readonly #address: string;
  readonly #directory: string | undefined;
  readonly #seed: number;
  readonly #random: Random;
  readonly #counts: Counts;
  readonly #observer: Observer;
  readonly #actors: Actor[] = [];
  #attempts = new Map<string, Part>();
  #timeline: Line[] = [];
  #deaths: { actor: Actor; from: number; to: number }[] = [];
  #cleanings: Span[] = [];
  #displaced: { at: number; id: string; what: string }[] = [];
  #crashed: string[] = [];
  #heard: () => void = () => undefined;
  /** The last order that was sent, and those before it. */
  #cleaner: Promise<void> = Promise.resolve();
  #made = 0;
  #over = false;

  constructor(address: string, directory: string | undefined, seed: number, random: Random, counts: Counts) {
    this.#seed = seed;
    this.#address = address;
    this.#directory = directory;
    this.#random = random;
    this.#counts = counts;
    this.#observer = new Observer(address);
    if (directory !== undefined) fs.writeFileSync(`${directory}/${bystander.name}`, bystander.content);
  }

  #note(at: number, text: string): void {
    this.#timeline.push({ at, text });
  }

  readonly #listeners: ActorListeners = {
    heard: (actor, message) => this.#hear(actor, message),
    printed: ({ pid }, text) => this.#note(now(), `${pid} printed: ${text}`),
    ended: (actor, how) => this.#waitedFor(actor, how),
  };

  #hear(actor: Actor, message: ActorMessage): void {
    const { at, event, attempt: id } = message;
    if (event !== 'ready') this.#note(at, `${actor.pid} says: ${event} ${id} ${message.reason ?? message.what ?? ''}`);
    const attempt = id === undefined ? undefined : this.#attempts.get(id);
    if (attempt === undefined) return;
    if (event === 'acquired') {
      attempt.acquired = at;
      attempt.socket = message.socket;
      this.#counts.acquired++;
    } else if (event === 'refused') {
      attempt.refused = { at, code: message.code ?? '', reason: message.reason, message: message.message };
      goneAt(attempt, at);
      this.#counts.refused++;
    } else if (event === 'releasing') endAt(attempt, at, 'releasing');
    else if (event === 'released') goneAt(attempt, at);
    else if (event === 'handed over') {
      endAt(attempt, at, 'handed over');
      goneAt(attempt, at);
      this.#counts.handedOver++;
    } else if (event === 'displaced') this.#displaced.push({ at, id: attempt.id, what: message.what ?? '' });
    this.#heard();
  }

  #waitedFor(actor: Actor, how: string): void {
    const at = now();
    this.#note(at, `${actor.pid} has ended: ${how}`);
    if (!actor.dying) this.#crashed.push(`${actor.pid} ended by itself: ${how}`);
    actor.dying = true;
    for (const attempt of this.#attempts.values()) {
      if (attempt.actor === actor) goneAt(attempt, at);
    }
    for (const death of this.#deaths) {
      if (death.actor === actor) death.to = at;
    }
    this.#heard();
  }

  async round(): Promise<void> {
    this.#attempts = new Map();
    this.#timeline = [];
    this.#deaths = [];
    this.#cleanings = [];
    this.#displaced = [];
    await this.#fill();
    await this.#observer.start();
    const operations = 6 + this.#random.below(14);
    for (let i = 0; i < operations; i++) {
      await this.#operate();
      // A moment without messages: chance decides about it.
      await Promise.race([new Promise<void>((heard) => (this.#heard = heard)), pause(this.#random.below(12))]);
    }
    await this.#settle();
    // Every client has been answered, or was cut off: no process has the listening socket open any
    // more.
    await this.#notHung(this.#observer.stop(), () => [
      `hangs: the observer is connected to a socket that a process still has open\n${whoHas(this.#address)}`,
    ]);
    this.#judge();
    const amiss = await whatIsAmiss(this.#address, this.#directory);
    if (amiss !== undefined) this.#fail([amiss]);
    this.#counts.rounds++;
  }

  #judge(): void {
    const { looks } = this.#observer;
    this.#counts.looks += looks.length;
    this.#counts.answered += looks.filter(({ said }) => said !== undefined).length;
    const record: RoundRecord = {
      attempts: [...this.#attempts.values()],
      looks,
      deaths: this.#deaths,
      cleanings: this.#cleanings,
      displaced: this.#displaced,
    };
    const found = [...this.#crashed, ...violations(record)];
    if (found.length > 0) this.#fail(found);
  }

  /** An event that must come sooner or later. A deadline ends a run that would hang. */
  async #notHung(done: Promise<unknown>, describe: () => string[]): Promise<void> {
    const hung = await Promise.race([done.then(() => false), pause(hangMs, true, { ref: false })]);
    if (hung) this.#fail(describe());
  }

  async #fill(): Promise<void> {
    for (let i = 0; i < actorsPerArena; i++) {
      if (this.#over) throw new Error('It ended in another arena.');
      if (this.#actors[i]?.dying === false) continue;
      const actor = (this.#actors[i] = new Actor(this.#listeners));
      await this.#notHung(actor.ready, () => [`hangs: ${actor.pid} does not start`]);
    }
  }

  async #operate(): Promise<void> {
    this.#counts.operations++;
    const actor = this.#random.pick(this.#actors);
    if (actor.dying) return this.#fill();
    const choice = this.#random.below(100);
    if (choice < 24) this.#attempt(actor, 'start', { handover: true });
    else if (choice < 40) this.#attempt(actor, 'standby', { handover: true, wait: true }, 20 + this.#random.below(400));
    else if (choice < 60) this.#attempt(actor, 'takeover', { handover: true, takeover: 2000 });
    else if (choice < 70) this.#release();
    else if (choice < 78) this.#kill(actor);
    else if (choice < 81) this.#exit(actor);
    else if (choice < 87) this.#stop(actor);
    else if (choice < 92) this.#cleaner = this.#cleaner.then(() => this.#clean());
    else if (choice < 96) this.#listenOutside(actor, 'stray');
    else if (choice < 98) this.#listenOutside(actor, 'displacer');
    else actor.ask('chdir', { path: this.#random.pick(['/', '/tmp', this.#directory ?? '/']) });
  }

  #begin(actor: Actor, kind: Attempt['kind']): string {
    const id = `${actor.pid}.${this.#made++}`;
    const asked = now();
    this.#attempts.set(id, { id, kind, pid: actor.pid, asked, actor });
    this.#note(asked, `${actor.pid} is to ${kind}: ${id}`);
    return id;
  }

  #attempt(actor: Actor, kind: Attempt['kind'], options: object, waitMs?: number): void {
    // By a relative path now and then: another chdir follows.
    const relative = this.#directory !== undefined && this.#random.below(3) === 0;
    const address = relative ? `./${this.#address.slice(this.#address.lastIndexOf('/') + 1)}` : this.#address;
    const attempt = this.#begin(actor, kind);
    actor.ask('listen', { address, attempt, options, waitMs, cwd: relative ? this.#directory : undefined });
  }

  /** One at a time: as one closes, Node removes whatever is at the path by then. */
  #listenOutside(actor: Actor, kind: 'stray' | 'displacer'): void {
    // Node 20 cuts a long path short, and listens elsewhere.
    if (this.#directory === undefined || this.#address.length > 100) return;
    if ([...this.#attempts.values()].some((attempt) => isOutsider(attempt) && attempt.gone === undefined)) return;
    const attempt = this.#begin(actor, kind);
    actor.ask('stray', { address: this.#address, attempt, remove: kind === 'displacer' });
    if (kind === 'stray') this.#counts.strays++;
    else this.#counts.displacers++;
  }

  #release(): void {
    const holders = [...this.#attempts.values()].filter(({ acquired, end }) => acquired !== undefined && end === undefined);
    if (holders.length === 0) return;
    const { id, actor } = this.#random.pick(holders);
    this.#note(now(), `${actor.pid} is to release ${id}`);
    actor.ask('release', { attempt: id });
  }

  #kill(actor: Actor): void {
    this.#dies(actor, 'SIGKILL');
    actor.child.kill('SIGKILL');
    this.#counts.kills++;
  }

  /** process.exit, in the middle of whatever it is at. */
  #exit(actor: Actor): void {
    this.#dies(actor, 'exit');
    actor.child.send({ action: 'exit', args: {} }, () => undefined);
    this.#counts.exits++;
  }

  #dies(actor: Actor, how: string): void {
    const at = now();
    this.#note(at, `${how} ${actor.pid}`);
    this.#deaths.push({ actor, from: at, to: Infinity });
    for (const attempt of this.#attempts.values()) {
      if (attempt.actor === actor) endAt(attempt, at, 'process ends');
    }
    actor.dying = true;
  }

  #stop(actor: Actor): void {
    this.#note(now(), `${actor.stopped ? 'SIGCONT' : 'SIGSTOP'} ${actor.pid}`);
    actor.child.kill(actor.stopped ? 'SIGCONT' : 'SIGSTOP');
    actor.stopped = !actor.stopped;
    this.#counts.stops++;
  }

  /** A process that starts meanwhile finds a lock that goes away together with its file. */
  async #clean(): Promise<void> {
    if (this.#directory === undefined) return;
    const from = now();
    if (await removeUnlocked(`${this.#address}.lock`, this.#random.below(6))) {
      this.#note(now(), `the cleaner has removed the lock file, that it had locked at ${from}`);
      this.#counts.lockFilesRemoved++;
    }
    this.#cleanings.push({ from, to: now() });
  }

  /** Waits until no process has the address or wants it. Some release, the others are killed. */
  async #settle(): Promise<void> {
    // Another process has the place of one that was told to exit.
    for (const actor of new Set([...this.#actors, ...this.#deaths.map((death) => death.actor)])) {
      if (actor.stopped && !actor.over) this.#stop(actor);
    }
    await this.#cleaner;
    const told = new Set<string>();
    const began = now();
    for (;;) {
      const open = [...this.#attempts.values()].filter((attempt) => attempt.gone === undefined);
      if (open.length === 0) break;
      for (const { id, acquired, end, actor } of open) {
        if (actor.dying || acquired === undefined || end !== undefined || told.has(id)) continue;
        told.add(id);
        if (this.#random.below(4) === 0) this.#kill(actor);
        else actor.ask('release', { attempt: id });
      }
      if (now() - began > hangMs)
        this.#fail(
          open.map(({ id, kind, acquired, end }) => `hangs: ${id} (${kind}, ${end?.how ?? (acquired ? 'has it' : 'asking')})`),
        );
      await Promise.race([new Promise<void>((heard) => (this.#heard = heard)), pause(100)]);
    }
    const dying = this.#deaths.map(({ actor }) => actor);
    await this.#notHung(Promise.all(dying.map(({ ended }) => ended)), () => dying.map(({ pid }) => `hangs: the end of ${pid}`));
  }

  #fail(found: readonly string[]): never {
    throw new SoakFailed(report(`seed ${this.#seed}, ${this.#address}`, found, this.#timeline, this.#observer.looks));
  }

  /** Also in the middle of a round, which then comes to nothing. */
  end(): void {
    this.#over = true;
    for (const actor of this.#actors) actor.child.kill('SIGKILL');
    this.#observer.end();
  }
}
