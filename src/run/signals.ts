import { constants } from 'node:os';
import type { Fleet } from './fleet.js';
import { hasMissed, type Witness } from './witness.js';

/** They ask a program to end. */
const stops = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

/** They have a meaning only for the program. */
const passed = ['SIGUSR1', 'SIGUSR2'] as const;

interface Passing {
  fleet(): Fleet | undefined;
  readonly witness: Witness;
  readonly graceMs: number;
  report(message: string): void;
}

/**
 * Passes the signals of this process on to the program, unless it has received them from the same
 * source. Before there is a program, signals that ask it to end make this process end, and the
 * others do nothing. Returns a function that stops this.
 */
export function passSignals({ fleet, witness, graceMs, report }: Passing): () => void {
  const listeners = new Map<NodeJS.Signals, () => void>();
  for (const signal of stops) {
    listeners.set(signal, () => {
      const running = fleet();
      if (running === undefined) process.exit(128 + constants.signals[signal]);
      // At once, because the program may end before it is known whether it has the signal.
      if (signal === 'SIGTERM') running.stop(signal);
      else running.expectEnd(signal);
      void ask(signal, (sawToo) => {
        if (!sawToo) {
          running.stop(signal);
          running.signal(signal);
          return;
        }
        running.stopping = true;
        running.signal(signal, hasMissed);
        if (signal !== 'SIGTERM') goOnUnlessEnded(running, signal);
      });
    });
  }
  for (const signal of passed)
    listeners.set(signal, () => void ask(signal, (sawToo) => fleet()?.signal(signal, sawToo ? hasMissed : undefined)));
  listeners.set('SIGHUP', () => void fleet()?.rollOut());
  for (const [signal, listener] of listeners) process.on(signal, listener);

  async function ask(signal: NodeJS.Signals, then: (sawToo: boolean) => unknown): Promise<void> {
    then(await witness.saw(signal));
  }

  /**
   * Supervises the program as before after some time: Ctrl-C and Ctrl-\ may have a meaning other
   * than its end, and a later end has another reason.
   */
  function goOnUnlessEnded(running: Fleet, signal: NodeJS.Signals): void {
    setTimeout(() => {
      running.expectEnd(undefined);
      running.stopping = false;
      report(`The program still runs ${graceMs / 1000} s after ${signal}, and is supervised as before.`);
    }, graceMs).unref();
  }

  return () => {
    for (const [signal, listener] of listeners) process.off(signal, listener);
  };
}
