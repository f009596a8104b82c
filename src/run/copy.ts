import { setTimeout as sleep } from 'node:timers/promises';
import { describeExit, type Exit, type Instance } from './instance.js';

/** The rules for the end and the replacement of an instance. */
export interface Policy {
  readonly restart: 'never' | 'on-failure' | 'always';
  /** The longest pause before a restart. */
  readonly restartDelayMs: number;
  /** The time from SIGTERM to SIGKILL. */
  readonly graceMs: number;
  /** How long a new instance may take until it serves. */
  readonly readyWithinMs: number;
  /**
   * An instance counts as ready when it has run for this long. Undefined: when it says `READY=1`.
   */
  readonly readyAfterMs: number | undefined;
  /**
   * Whether a new instance can run next to the old one. It cannot if each binds the path by itself.
   */
  readonly overlaps: boolean;
}

export interface Hooks {
  /** Starts an instance with this index. */
  launch(index: number): Instance;
  /**
   * Waits until another instance can bind the path, or the signal aborts. Undefined: it always can.
   */
  readonly makeRoom?: ((signal: AbortSignal) => Promise<void>) | undefined;
  report(message: string): void;
}

/**
 * An instance that ran longer than this is not in a crash loop: the pauses begin again from the
 * shortest.
 */
const steadyMs = 10_000;

/**
 * The pause before the second restart in a row. The first restart comes at once, and each later
 * pause is twice as long.
 */
const secondDelayMs = 100;

/** The time before an instance is started. */
interface Pause {
  /** Aborted: skips the rest of the delay. */
  readonly delay: AbortController;
  /** Aborted: starts nothing. */
  readonly start: AbortController;
}

/**
 * One copy of the program: keeps one instance of it running, and replaces that without a gap.
 *
 * At most one instance is `current`, and one is `next` (started by `replace`, not ready yet).
 * Instances that were told to stop are `leaving`. Without a current one there is a `pause` before
 * the next start, or the copy has ended.
 */
export class Copy {
  /** The final end of the program, when no instance of this copy is left. */
  readonly ended: Promise<Exit>;
  readonly #index: number;
  readonly #policy: Policy;
  readonly #hooks: Hooks;
  readonly #leaving = new Set<Instance>();
  #current: Instance | undefined;
  #next: Instance | undefined;
  #pause: Pause | undefined;
  /** `current` is being stopped to make room for another. */
  #makingRoom = false;
  /** The instance among `leaving` that was `next` when the copy was stopped. */
  #unwanted: Instance | undefined;
  #restartsInARow = 0;
  /** After an end by this signal, or without a signal, the program is not started again. */
  #expected: NodeJS.Signals | undefined;
  /** The program is not started again, no matter how it ends. */
  #stopping = false;
  #end!: (exit: Exit) => void;

  constructor(index: number, policy: Policy, hooks: Hooks) {
    this.#index = index;
    this.#policy = policy;
    this.#hooks = hooks;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** The running instance, if there is one. */
  get current(): Instance | undefined {
    return this.#current;
  }

  /** Starts the program. */
  start(): Instance {
    return this.#follow(this.#hooks.launch(this.#index));
  }

  #follow(instance: Instance): Instance {
    this.#current = instance;
    void instance.exited.then((exit) => this.#exited(instance, exit));
    return instance;
  }

  /**
   * Replaces the instance. Returns the end of the old one, or undefined if the new one did not
   * become ready and the old one stays.
   */
  async replace(): Promise<{ readonly oldLeft: Promise<unknown> } | undefined> {
    if (this.#pause !== undefined) {
      this.#pause.delay.abort();
      return { oldLeft: Promise.resolve() };
    }
    if (this.#stopping) return undefined;
    const old = this.#current;
    // It has ended for good, as --restart says.
    if (old === undefined) return { oldLeft: Promise.resolve() };
    if (this.#policy.overlaps) return await this.#overlap(old);
    // Two instances cannot bind one path. The next one is started when this one has ended.
    this.#makingRoom = true;
    await old.stop(this.#policy.graceMs);
    return { oldLeft: Promise.resolve() };
  }

  async #overlap(old: Instance): Promise<{ readonly oldLeft: Promise<unknown> } | undefined> {
    const next = this.#hooks.launch(this.#index);
    this.#next = next;
    // Reported at once: until the new one is ready both serve, and nothing else may be reported for
    // a minute.
    if (next.pid !== undefined) this.#report(next, `was started; process ${old.pid} continues until ${this.#awaited()}`);
    const outcome = await next.settled(this.#policy.readyWithinMs);
    // It has replaced an old one that died meanwhile, or everything is being stopped.
    if (this.#next !== next) return this.#current === next && outcome === 'ready' ? { oldLeft: old.exited } : undefined;
    this.#next = undefined;
    if (outcome === 'ready') {
      this.#follow(next);
      this.#report(next, `serves; stopping process ${old.pid}`);
      return { oldLeft: this.#dismiss(old) };
    }
    if (outcome === 'late') {
      const { readyWithinMs } = this.#policy;
      this.#report(
        next,
        `did not say READY=1 within ${readyWithinMs / 1000} s, and is being stopped; process ${old.pid} stays. ` +
          'For a program that never says it, use --ready-after',
      );
      await this.#dismiss(next);
    } else {
      const when = outcome.unstarted === undefined ? ' before it was ready' : '';
      this.#report(next, `${describeExit(outcome)}${when}; process ${old.pid} stays`);
    }
    return undefined;
  }

  /** Describes what the old instance waits for before it is stopped. */
  #awaited(): string {
    const { readyAfterMs, readyWithinMs } = this.#policy;
    return readyAfterMs === undefined
      ? `it says READY=1 (at most ${readyWithinMs / 1000} s; use --ready-after for a program that never does)`
      : `it says READY=1 or has run for ${readyAfterMs / 1000} s`;
  }

  async #dismiss(instance: Instance): Promise<void> {
    this.#leaving.add(instance);
    await instance.stop(this.#policy.graceMs);
    this.#leaving.delete(instance);
  }

  /** Passes a signal on to the instances that run and were not told to stop. */
  signal(signal: NodeJS.Signals, isMeant?: (pid: number) => boolean): void {
    this.#current?.signal(signal, isMeant);
    this.#unwanted?.signal(signal, isMeant);
  }

  /** Notes whether its processes have received a signal to stop from its sender. */
  set stopping(stopping: boolean) {
    if (this.#current !== undefined) this.#current.stopping = stopping;
    if (this.#unwanted !== undefined) this.#unwanted.stopping = stopping;
  }

  /** Ends the restarts. Calls `stop` for each running instance that was not told to stop yet. */
  stop(stop: (instance: Instance) => void, withoutProgram: Exit): void {
    this.#stopping = true;
    this.#pause?.start.abort();
    if (this.#next !== undefined) this.#leaving.add(this.#next);
    this.#unwanted ??= this.#next;
    this.#next = undefined;
    if (this.#unwanted !== undefined) stop(this.#unwanted);
    if (this.#current === undefined) void this.#finish(withoutProgram);
    else stop(this.#current);
  }

  /**
   * Expects the end of the program, after a signal by which it may end: it is then not started
   * again. Undefined: supervises it as before.
   */
  expectEnd(signal: NodeJS.Signals | undefined): void {
    this.#expected = signal;
    if (signal !== undefined && this.#current === undefined) this.stop(() => undefined, { code: null, signal });
  }

  #exited(instance: Instance, exit: Exit): void {
    if (instance !== this.#current) return;
    this.#current = undefined;
    const next = this.#next;
    const isExpected = this.#expected !== undefined && (exit.signal === null || exit.signal === this.#expected);
    if (this.#stopping) void this.#finish(exit);
    else if (isExpected) this.stop((other) => void other.stop(this.#policy.graceMs), exit);
    else if (next !== undefined) {
      this.#next = undefined;
      this.#report(instance, `${describeExit(exit)}; process ${next.pid} takes its place`);
      this.#follow(next);
    } else if (this.#makingRoom) {
      this.#makingRoom = false;
      void this.#startIn(0);
    } else if (this.#policy.restart === 'never' || (this.#policy.restart === 'on-failure' && exit.code === 0)) {
      if (exit.unstarted !== undefined) this.#report(instance, describeExit(exit));
      void this.#finish(exit);
    } else this.#startAgain(instance, exit);
  }

  #startAgain(instance: Instance, exit: Exit): void {
    if (instance.ranMs >= steadyMs) this.#restartsInARow = 0;
    const row = this.#restartsInARow++;
    const delayMs = row === 0 ? 0 : Math.min(secondDelayMs * 2 ** (row - 1), this.#policy.restartDelayMs);
    this.#report(instance, `${describeExit(exit)}; starting it again${delayMs === 0 ? '' : ` in ${delayMs / 1000} s`}`);
    void this.#startIn(delayMs);
  }

  async #startIn(delayMs: number): Promise<void> {
    const [delay, start] = [new AbortController(), new AbortController()];
    this.#pause = { delay, start };
    const signal = AbortSignal.any([delay.signal, start.signal]);
    await sleep(delayMs, undefined, { signal }).catch(() => undefined);
    if (!start.signal.aborted) await this.#hooks.makeRoom?.(start.signal);
    if (start.signal.aborted) return;
    this.#pause = undefined;
    this.start();
  }

  async #finish(exit: Exit): Promise<void> {
    await Promise.all([...this.#leaving].map((instance) => instance.exited));
    this.#end(exit);
  }

  #report({ name }: Instance, what: string): void {
    this.#hooks.report(`${name} ${what}.`);
  }
}
