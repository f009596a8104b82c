import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Supervisor } from './supervisor.js';

/** They ask a program to end. */
const stops = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

/** They mean something to the program only. */
const passed = ['SIGUSR1', 'SIGUSR2'] as const;

/**
 * Passes the signals of this process on to the program. Before there is one, those that ask it to end end us, and the others do
 * nothing. Gives what ends it.
 */
export function passSignals(supervisor: () => Supervisor | undefined): () => void {
  const listeners = new Map<NodeJS.Signals, () => void>();
  for (const signal of stops) {
    listeners.set(signal, () => {
      const running = supervisor();
      if (running === undefined) process.exit(128 + constants.signals[signal]);
      // Ctrl-C and Ctrl-\ reach every process of the foreground group: the program has it already, and twice may mean "at once".
      if (signal === 'SIGTERM' || !inForeground()) running.stop(signal);
      else running.expectEnd(signal);
    });
  }
  for (const signal of passed) listeners.set(signal, () => supervisor()?.signal(signal));
  listeners.set('SIGHUP', () => void supervisor()?.restart());
  for (const [signal, listener] of listeners) process.on(signal, listener);
  return () => {
    for (const [signal, listener] of listeners) process.off(signal, listener);
  };
}

/** Whether we are in the foreground process group of a terminal: proc(5), stat, fields 5 (pgrp) and 8 (tpgid). */
function inForeground(): boolean {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1');
    const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return group === foreground;
  } catch {
    return process.stdin.isTTY;
  }
}
