import type { ListenOptions } from '../request/readRequest.js';
import { failed } from '../kernel/kernel.js';
import { Above } from './above.js';
import { Fleet, type FleetPolicy } from './fleet.js';
import { exitStatus, type Exit, type Instance } from './instance.js';
import { Notifications, saysReady } from './notifications.js';
import { launch, type Program } from './program.js';
import { followParent } from './parent.js';
import { Passing, type Instances } from './passing.js';
import { passSignals } from './signals.js';
import { Witness } from './witness.js';

/** The request of `reuseaddr run`. */
export interface RunRequest {
  readonly address: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly listen: ListenOptions;
  readonly policy: FleetPolicy;
  /** Whether to end, as by SIGTERM, when the parent process has ended. */
  readonly followsParent: boolean;
  report(message: string): void;
  /** Reports success, for `-v`. */
  trace(message: string): void;
}

/**
 * The common part of both ways to run a program, with a socket and by its own bind: signals,
 * notifications, and instances.
 */
export class Runner implements Instances {
  readonly #request: RunRequest;
  readonly #notifications: Notifications | undefined;
  readonly #instances = new Map<number, Instance>();
  readonly #above = new Above();
  readonly #witness = new Witness();
  readonly #stopSignals: () => void;
  #unfollow = (): void => undefined;
  #fleet: Fleet | undefined;
  #passing: Passing | undefined;

  constructor(request: RunRequest) {
    this.#request = request;
    const notifications = Notifications.open();
    this.#notifications = failed(notifications) ? undefined : notifications;
    void this.#notifications?.serve(
      () => [...this.#instances].flatMap(([pid, { programPids }]) => [pid, ...programPids]),
      ({ pid, text }) => {
        if (saysReady(text)) this.becameReady(this.#instanceOf(pid));
      },
    );
    const { report, policy, followsParent } = request;
    if (followsParent) {
      this.#unfollow = followParent((pid) => {
        report(`Process ${pid}, which started this, has ended; ending as by SIGTERM. --no-follow-parent leaves it running.`);
        if (this.#fleet === undefined) process.exit(exitStatus({ code: null, signal: 'SIGTERM' }));
        this.#fleet.stop('SIGTERM');
        this.#fleet.signal('SIGTERM');
      });
    }
    this.#stopSignals = passSignals({ fleet: () => this.#fleet, witness: this.#witness, graceMs: policy.graceMs, report });
  }

  /** Supervises copies of the program that get this descriptor. */
  supervise(fd: number, listens: boolean, around: Around): Fleet {
    const { command, args, policy, report } = this.#request;
    if (this.#above.waits && policy.readyAfterMs === undefined) {
      report(
        'READY=1 is passed on to the supervisor (NOTIFY_SOCKET) when the program says it. For a program that never says it, use --ready-after.',
      );
    }
    const passing = listens ? Passing.open(fd, this) : 'ENOENT';
    this.#passing = failed(passing) ? undefined : passing;
    const program: Program = {
      command,
      args,
      fd,
      listens,
      notifySocket: this.#notifications?.name,
      passing: this.#passing?.name,
      leftBehind: { graceMs: policy.graceMs, report },
    };
    this.#fleet = new Fleet(policy, {
      launch: (index) => {
        if (this.#instances.size === 0) around.beforeFirst?.();
        const instance = this.#follow(launch(program, policy.numbered ? index : undefined));
        around.after?.(instance);
        return instance;
      },
      makeRoom: around.makeRoom,
      stopping: () => this.#above.tell('STOPPING=1'),
      reloading: () => this.#above.reloading(),
      reloaded: () => this.#above.reloaded(),
      report,
    });
    return this.#fleet;
  }

  #follow(instance: Instance): Instance {
    const { readyAfterMs } = this.#request.policy;
    if (instance.pid !== undefined) this.#instances.set(instance.pid, instance);
    const timer = readyAfterMs === undefined ? undefined : setTimeout(() => this.becameReady(instance), readyAfterMs);
    void this.#forget(instance, timer);
    if (instance.pid !== undefined) this.#request.trace(`${instance.name} was started.`);
    this.#tellStatus();
    this.#witness.start();
    return instance;
  }

  async #forget(instance: Instance, readyTimer: NodeJS.Timeout | undefined): Promise<void> {
    await instance.exited;
    clearTimeout(readyTimer);
    if (instance.pid !== undefined) this.#instances.delete(instance.pid);
    this.#tellStatus();
  }

  /** Returns the instance that runs as this process. */
  at(pid: number): Instance | undefined {
    const instance = this.#instances.get(pid);
    return instance?.runs === true ? instance : undefined;
  }

  /** Returns the instance that is this process, or whose program it is. */
  #instanceOf(pid: number): Instance | undefined {
    return this.at(pid) ?? [...this.#instances.values()].find(({ programPids }) => programPids.includes(pid));
  }

  becameReady(instance: Instance | undefined): void {
    if (instance === undefined || instance.ready) return;
    instance.becomeReady();
    this.#request.trace(`${instance.name} is ready.`);
    this.#tellStatus();
    if (this.#readyCount >= this.#request.policy.instances) this.#above.ready();
  }

  get #readyCount(): number {
    return [...this.#instances.values()].filter((instance) => instance.ready).length;
  }

  #tellStatus(): void {
    const pids = [...this.#instances.keys()].join(', ');
    const what = pids === '' ? 'no process' : `pid ${pids}`;
    this.#above.tell(`STATUS=${this.#readyCount} of ${this.#request.policy.instances} ready; ${what}`);
  }

  close(): void {
    this.#stopSignals();
    this.#unfollow();
    this.#witness.close();
    this.#above.close();
    this.#notifications?.close();
    this.#passing?.close();
  }
}

/** The hooks of the two ways to run a program around the start of an instance. */
export interface Around {
  /** Called when no other instance of ours runs, not even one that is stopping. */
  beforeFirst?(): void;
  after?(instance: Instance): void;
  readonly makeRoom?: (signal: AbortSignal) => Promise<void>;
}

/** An instance ended, or took too long, before it was ready to replace another process. */
export class NotReady extends Error {
  readonly outcome: 'late' | Exit;

  constructor(message: string, outcome: 'late' | Exit) {
    super(message);
    this.outcome = outcome;
  }
}
