import { atSilentEnd } from '../kernel/runtime.js';

/** A claim that leaves something behind at the exit of the process. */
interface Leaving {
  releaseAtExit(): void;
}

const holds = new Set<Leaving>();

/** Has a claim released at the exit of the process, unless it is released before. */
export function releaseAtExit(hold: Leaving): void {
  // Ahead of all other listeners: one that throws would skip ours.
  if (holds.size === 0 && !process.listeners('exit').includes(releaseAllAtExit)) {
    process.prependListener('exit', releaseAllAtExit);
    atSilentEnd(releaseAllAtExit);
  }
  holds.add(hold);
}

function releaseAllAtExit(): void {
  inTurn(...[...holds].map((hold) => () => hold.releaseAtExit()));
}

export function releasedBeforeExit(hold: Leaving): void {
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
