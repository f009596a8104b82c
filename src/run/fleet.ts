import { Copy, type Hooks, type Policy } from './copy.js';
import type { Exit, Instance } from './instance.js';

export interface FleetPolicy extends Policy {
  /** How many copies of the program run. */
  readonly instances: number;
  /** Whether each has its number in the environment, even if it is the only one. */
  readonly numbered: boolean;
}

export interface FleetHooks extends Hooks {
  /** The program is being stopped for good. */
  stopping(): void;
  /** The roll-out begins, or has ended. */
  reloading(): void;
  reloaded(): void;
}

/**
 * All copies of the program. Each keeps itself running; the fleet replaces them one after another,
 * and stops them together.
 */
export class Fleet {
  /**
   * The end of the program, once all copies have ended for good: that of the first one that failed,
   * otherwise status 0.
   */
  readonly ended: Promise<Exit>;
  readonly copies: readonly Copy[];
  readonly #policy: FleetPolicy;
  readonly #hooks: FleetHooks;
  #rollingOut = false;
  /**
   * Another SIGHUP came while new instances were starting. They may have read files that have
   * changed since.
   */
  #again = false;
  #stopping = false;
  /** The address belongs to another process now. Any end of the program is a success. */
  #drained = false;

  constructor(policy: FleetPolicy, hooks: FleetHooks) {
    this.#policy = policy;
    this.#hooks = hooks;
    this.copies = Array.from({ length: policy.instances }, (_none, index) => new Copy(index, policy, hooks));
    this.ended = this.#allEnded();
  }

  async #allEnded(): Promise<Exit> {
    const exits = await Promise.all(this.copies.map(({ ended }) => ended));
    if (this.#drained) return { code: 0, signal: null };
    return exits.find(({ code }) => code !== 0) ?? { code: 0, signal: null };
  }

  start(): void {
    for (const copy of this.copies) copy.start();
  }

  /**
   * Waits until all instances are ready. Returns the first that ended or took too long, if one did.
   */
  async firstFailure(): Promise<{ readonly instance: Instance; readonly outcome: 'late' | Exit } | undefined> {
    const instances = this.copies.flatMap(({ current }) => current ?? []);
    const settled = instances.map(async (instance) => ({
      instance,
      outcome: await instance.settled(this.#policy.readyWithinMs),
    }));
    return await new Promise((resolve) => {
      for (const each of settled)
        void each.then(({ instance, outcome }) => outcome !== 'ready' && resolve({ instance, outcome }));
      void Promise.all(settled).then(() => resolve(undefined));
    });
  }

  /**
   * Replaces every copy, one after another, on SIGHUP. A new instance that does not become ready
   * stops the roll-out.
   */
  async rollOut(): Promise<void> {
    if (this.#stopping) return;
    this.#again = this.#rollingOut;
    if (this.#rollingOut) return;
    this.#rollingOut = true;
    this.#hooks.reloading();
    await this.#replaceAll();
    this.#rollingOut = false;
    this.#hooks.reloaded();
    if (this.#again) await this.rollOut();
  }

  async #replaceAll(): Promise<void> {
    const { length } = this.copies;
    for (const [index, copy] of this.copies.entries()) {
      const replaced = await copy.replace();
      if (replaced === undefined) {
        if (length > 1 && !this.#stopping) {
          this.#hooks.report(`The roll-out has stopped: ${index} of ${length} instances were replaced.`);
        }
        return;
      }
      // Therefore at most one more process than before runs, however long the old ones take.
      if (index + 1 < length) await replaced.oldLeft;
    }
  }

  /**
   * Ends the restarts. The program has received the signal by which it ends, or is about to receive
   * it.
   */
  stop(signal: NodeJS.Signals): void {
    this.#stopForGood();
    for (const copy of this.copies) copy.stop(() => undefined, { code: null, signal });
  }

  /**
   * Expects the end of the program, after a signal by which it may end: it is then not started
   * again. Undefined: supervises it as before.
   */
  expectEnd(signal: NodeJS.Signals | undefined): void {
    for (const copy of this.copies) copy.expectEnd(signal);
  }

  /**
   * Stops the program within the grace time, because the address belongs to another process now.
   */
  drain(): void {
    this.#drained = true;
    this.#stopForGood();
    for (const copy of this.copies) copy.stop((instance) => void instance.stop(this.#policy.graceMs), { code: 0, signal: null });
  }

  #stopForGood(): void {
    if (!this.#stopping) this.#hooks.stopping();
    this.#stopping = true;
  }

  /** Passes a signal on to the program: to all its processes, or to those that it is meant for. */
  signal(signal: NodeJS.Signals, isMeant?: (pid: number) => boolean): void {
    for (const copy of this.copies) copy.signal(signal, isMeant);
  }

  /** Notes whether the processes of the program have received a signal to stop from its sender. */
  set stopping(stopping: boolean) {
    for (const copy of this.copies) copy.stopping = stopping;
  }
}
