import { timerMsMax } from '../kernel/clock.js';
import { sendNotification } from '../kernel/notify.js';

/**
 * The supervisor of `run` itself, such as systemd(1), which waits for messages on NOTIFY_SOCKET,
 * sd_notify(3).
 */
export class Above {
  readonly #socket = process.env['NOTIFY_SOCKET'];
  readonly #watchdog: NodeJS.Timeout | undefined;
  #toldReady = false;

  constructor() {
    const { WATCHDOG_USEC: timeoutUs = '', WATCHDOG_PID: pid = String(process.pid) } = process.env;
    const isAsked = this.#socket !== undefined && pid === String(process.pid) && /^[1-9]\d{0,15}$/.test(timeoutUs);
    // sd_watchdog_enabled(3): twice as often as requested.
    if (isAsked)
      this.#watchdog = setInterval(() => this.tell('WATCHDOG=1'), Math.min(Number(timeoutUs) / 2000, timerMsMax)).unref();
  }

  /** Whether there is one that waits for word. */
  get waits(): boolean {
    return this.#socket !== undefined;
  }

  tell(state: string): void {
    if (this.#socket !== undefined) sendNotification(this.#socket, state);
  }

  /** Reports once that the program serves. */
  ready(): void {
    if (!this.#toldReady) this.tell('READY=1');
    this.#toldReady = true;
  }

  /** Type=notify-reload requires the time at which the signal was handled. */
  reloading(): void {
    if (this.#toldReady) this.tell(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  reloaded(): void {
    if (this.#toldReady) this.tell('READY=1');
  }

  close(): void {
    clearInterval(this.#watchdog);
  }
}
