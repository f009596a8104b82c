import type { Kernel } from '#dist/kernel/kernel.js';
import { halfway, systemCall, waits } from './systemCalls.js';
import type { World } from './world.js';

/**
 * A kernel for one process of a world: each call is made whole and at once, and `world` holds what
 * it leaves.
 */
export interface SimulatedKernel {
  readonly kernel: Kernel;
  world: World;
}

export function simulatedKernel(first: World, process = 0): SimulatedKernel {
  const simulated = { world: first } as { world: World; kernel: Kernel };
  simulated.kernel = new Proxy({} as Kernel, {
    get:
      (_target, name) =>
      (...args: unknown[]) => {
        for (;;) {
          const { answer, world } = systemCall(simulated.world, process, String(name), args);
          if (answer === waits) throw new Error(`${String(name)} would wait for ever: no other process is there to end it`);
          simulated.world = world;
          if (answer !== halfway) return answer;
        }
      },
  });
  return simulated;
}
