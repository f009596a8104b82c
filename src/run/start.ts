import type { ListenOptions } from '../request/options.js';
import { failed } from '../kernel/kernel.js';
import { sendNotification } from '../kernel/notify.js';
import type { Exit, Instance } from './instance.js';
import { Notifications, saysReady } from './notifications.js';
import { launch, type Program } from './program.js';
import { passSignals } from './signals.js';
import { Supervisor, type Policy } from './supervisor.js';

/** What `reuseaddr run` was asked for. */
export interface RunRequest {
  readonly address: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly listen: ListenOptions;
  readonly policy: Policy;
  report(message: string): void;
}

/** What is the same whether the program is given the socket or binds by itself: signals, notifications, and its instances. */
export class Runner {
  readonly #request: RunRequest;
  readonly #notifications: Notifications | undefined;
  readonly #instances = new Map<number, Instance>();
  /** Where systemd(1) or another supervisor of ours waits for word. */
  readonly #above = process.env['NOTIFY_SOCKET'];
  readonly #stopSignals: () => void;
  #supervisor: Supervisor | undefined;
  #toldReady = false;

  constructor(request: RunRequest) {
    this.#request = request;
    const notifications = Notifications.open();
    this.#notifications = failed(notifications) ? undefined : notifications;
    void this.#notifications?.serve(
      () => [...this.#instances.keys()],
      ({ pid, text }) => {
        if (saysReady(text)) this.#becameReady(this.#instances.get(pid));
      },
    );
    this.#stopSignals = passSignals(() => this.#supervisor);
  }

  /** A supervisor for instances that get this descriptor. */
  supervise(
    fd: number,
    listens: boolean,
    around: { before?(alone: boolean): void; after?(instance: Instance): void },
  ): Supervisor {
    const { command, args, policy, report } = this.#request;
    const program: Program = { command, args, fd, listens, notifySocket: this.#notifications?.name };
    this.#supervisor = new Supervisor(policy, {
      launch: (alone) => {
        around.before?.(alone);
        const instance = this.#follow(launch(program));
        around.after?.(instance);
        return instance;
      },
      stopping: () => this.#tellAbove('STOPPING=1'),
      report,
    });
    return this.#supervisor;
  }

  #follow(instance: Instance): Instance {
    const { readyAfterMs } = this.#request.policy;
    if (instance.pid !== undefined) this.#instances.set(instance.pid, instance);
    const timer = readyAfterMs === undefined ? undefined : setTimeout(() => this.#becameReady(instance), readyAfterMs);
    void this.#forget(instance, timer);
    return instance;
  }

  async #forget(instance: Instance, readyTimer: NodeJS.Timeout | undefined): Promise<void> {
    await instance.exited;
    clearTimeout(readyTimer);
    if (instance.pid !== undefined) this.#instances.delete(instance.pid);
  }

  #becameReady(instance: Instance | undefined): void {
    instance?.becomeReady();
    if (instance === undefined || this.#toldReady) return;
    this.#toldReady = true;
    this.#tellAbove('READY=1');
  }

  #tellAbove(state: string): void {
    if (this.#above !== undefined) sendNotification(this.#above, state);
  }

  close(): void {
    this.#stopSignals();
    this.#notifications?.close();
  }
}

/** An instance ended, or took too long, before it was ready to take the place of another process's. */
export class NotReady extends Error {
  readonly outcome: 'late' | Exit;

  constructor(message: string, outcome: 'late' | Exit) {
    super(message);
    this.outcome = outcome;
  }
}
