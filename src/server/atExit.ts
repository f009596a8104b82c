import { atSilentEnd } from '../kernel/runtime.js';

/** A claim that leaves something behind at the exit of the process. */
interface Leaving {
  removeAtExit(): void;
}

const holds = new Set<Leaving>();

/** Has a claim removed at the exit of the process, until it is forgotten. */
export function remember(hold: Leaving): void {
  // Ahead of all other listeners: one that throws would skip ours.
  if (holds.size === 0 && !process.listeners('exit').includes(removeAllAtExit)) {
    process.prependListener('exit', removeAllAtExit);
    atSilentEnd(removeAllAtExit);
  }
  holds.add(hold);
}

function removeAllAtExit(): void {
  inTurn(...[...holds].map((hold) => () => hold.removeAtExit()));
}

export function forget(hold: Leaving): void {
  holds.delete(hold);
}

/** Does each step, even if an earlier one throws. Throws the first error at the end. */
export function inTurn(...steps: readonly (() => unknown)[]): void {
  const errors: unknown[] = [];
  for (const step of steps) {
    try {
      step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
