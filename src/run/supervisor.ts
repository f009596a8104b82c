import { describeExit, type Exit, type Instance } from './instance.js';

/** What is to happen when the program ends, and how it is replaced. */
export interface Policy {
  readonly restart: 'never' | 'on-failure' | 'always';
  /** The longest pause before a restart. */
  readonly restartDelayMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly graceMs: number;
  /** How long a new instance may take until it serves. */
  readonly readyWithinMs: number;
  /** An instance counts as ready when it has run so long. Undefined: when it says `READY=1`. */
  readonly readyAfterMs: number | undefined;
  /** Whether a new instance can run beside the old one: not if each binds the path by itself. */
  readonly overlaps: boolean;
}

export interface Hooks {
  /** Starts the program. `alone`: no other instance of ours runs, not even one that is stopping. */
  launch(alone: boolean): Instance;
  /** The program is being stopped for good. */
  stopping(): void;
  report(message: string): void;
}

/** Who runs longer than this is no crash loop: the pauses begin anew. */
const steadyMs = 10_000;

/** The pause before the second restart in a row; the first comes at once, and each of the others after twice the pause. */
const secondDelayMs = 100;

/**
 * Keeps one instance of a program running, and replaces it without a gap: the old one goes on until the new one serves.
 *
 * At most one instance is `current`, and one is `next` (started by `restart`, not ready yet). Those that were told to stop are
 * `leaving`. Whoever ends is looked up in these; nothing else decides.
 */
export class Supervisor {
  /** How the program ended, once it has for good, and no instance is left. */
  readonly ended: Promise<Exit>;
  readonly #policy: Policy;
  readonly #hooks: Hooks;
  readonly #leaving = new Set<Instance>();
  #current: Instance | undefined;
  #next: Instance | undefined;
  /** Before the next restart, when nothing runs. */
  #pause: NodeJS.Timeout | undefined;
  #restartsInARow = 0;
  #stopping = false;
  /** The address is another process's now: however the program ends, all is well. */
  #retired = false;
  /** SIGHUP came once more while a new instance was starting: it may have read what has changed since. */
  #again = false;
  /** `current` is being stopped to make room for another. */
  #makingRoom = false;
  #end!: (exit: Exit) => void;

  constructor(policy: Policy, hooks: Hooks) {
    this.#policy = policy;
    this.#hooks = hooks;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Starts the program. @param alone whether nobody else accepts on its socket */
  start(alone: boolean = this.#leaving.size === 0): Instance {
    return this.#follow(this.#hooks.launch(alone));
  }

  #follow(instance: Instance): Instance {
    this.#current = instance;
    void instance.exited.then((exit) => this.#exited(instance, exit));
    return instance;
  }

  /** Replaces the running instance: SIGHUP. */
  async restart(): Promise<void> {
    if (this.#stopping) return;
    if (this.#pause !== undefined) {
      this.#endPause();
      this.start();
    } else if (this.#next !== undefined || this.#makingRoom) this.#again = true;
    else if (this.#current !== undefined) {
      await (this.#policy.overlaps ? this.#replace() : this.#makeRoom(this.#current));
      if (this.#again) {
        this.#again = false;
        await this.restart();
      }
    }
  }

  async #replace(): Promise<void> {
    const next = this.#hooks.launch(false);
    this.#next = next;
    // At once: until the new one is ready both serve, and that may be a minute in which nothing else is to be seen.
    if (next.pid !== undefined) this.#report(next, `was started; process ${this.#current?.pid} goes on until ${this.#awaited()}`);
    const outcome = await next.settled(this.#policy.readyWithinMs);
    // It has taken the place of an old one that died meanwhile, or everything is being stopped.
    if (this.#next !== next) return;
    this.#next = undefined;
    const old = this.#current;
    if (outcome === 'ready') {
      this.#follow(next);
      this.#report(next, `serves${old === undefined ? '' : `; stopping process ${old.pid}`}`);
      if (old !== undefined) void this.#stop(old);
    } else if (outcome === 'late') {
      this.#report(
        next,
        `has not said READY=1 within ${this.#policy.readyWithinMs / 1000} s and is stopped; process ${old?.pid} stays. ` +
          'For a program that never says it, use --ready-after',
      );
      await this.#stop(next);
    } else {
      const when = outcome.unstarted === undefined ? ' before it was ready' : '';
      this.#report(next, `${describeExit(outcome)}${when}; process ${old?.pid} stays`);
    }
  }

  /** What the old instance waits for before it is stopped. */
  #awaited(): string {
    const { readyAfterMs, readyWithinMs } = this.#policy;
    return readyAfterMs === undefined
      ? `it says READY=1 (${readyWithinMs / 1000} s at most; --ready-after for a program that never does)`
      : `it says READY=1 or has run for ${readyAfterMs / 1000} s`;
  }

  async #makeRoom(old: Instance): Promise<void> {
    this.#makingRoom = true;
    await old.stop(this.#policy.graceMs);
  }

  async #stop(instance: Instance): Promise<void> {
    this.#leaving.add(instance);
    await instance.stop(this.#policy.graceMs);
    this.#leaving.delete(instance);
  }

  /** Passes a signal on to the program, which ends by it as it likes; then it is not started again. */
  stop(signal: NodeJS.Signals): void {
    this.#stopForGood((instance) => instance.signal(signal), { code: null, signal });
  }

  /** The program has got a signal that asks it to end, and is not started again. */
  expectEnd(signal: NodeJS.Signals): void {
    this.#stopForGood(() => undefined, { code: null, signal });
  }

  /** Stops the program, with the grace time: the address is another process's now. */
  retire(): void {
    this.#retired = true;
    this.#stopForGood((instance) => void instance.stop(this.#policy.graceMs), { code: 0, signal: null });
  }

  #stopForGood(stop: (instance: Instance) => void, withoutProgram: Exit): void {
    if (!this.#stopping) this.#hooks.stopping();
    this.#stopping = true;
    this.#endPause();
    const next = this.#next;
    this.#next = undefined;
    if (next !== undefined) {
      this.#leaving.add(next);
      stop(next);
    }
    if (this.#current === undefined) void this.#finish(withoutProgram);
    else stop(this.#current);
  }

  /** Passes a signal on that means something to the program, and nothing to us. */
  signal(signal: NodeJS.Signals): void {
    this.#current?.signal(signal);
  }

  #exited(instance: Instance, exit: Exit): void {
    if (instance !== this.#current) return;
    this.#current = undefined;
    const next = this.#next;
    if (this.#stopping) void this.#finish(exit);
    else if (next !== undefined) {
      this.#next = undefined;
      this.#report(instance, `${describeExit(exit)}; process ${next.pid} takes its place`);
      this.#follow(next);
    } else if (this.#makingRoom) {
      this.#makingRoom = false;
      this.start();
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
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.start();
    }, delayMs);
  }

  #endPause(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
  }

  async #finish(exit: Exit): Promise<void> {
    await Promise.all([...this.#leaving].map((instance) => instance.exited));
    this.#end(this.#retired ? { code: 0, signal: null } : exit);
  }

  #report({ name }: Instance, what: string): void {
    this.#hooks.report(`${name} ${what}.`);
  }
}
