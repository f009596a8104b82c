import type { SocketType } from '#dist/address/socketType.js';
import { allGuarantees, strayUndisturbed } from './guarantees.js';
import { impatient } from './impatient.js';
import type { Scenario } from './machine.js';
import { scenario, typed, unlinksLockUnderStarter, type Cast } from './scenarios.js';

const cast = { releases: true, crashes: true } as const;

/** Two processes that claim the path with these types. The second one's may be another. */
export function ofTypes(types: readonly [SocketType, SocketType], starts: number, more: Partial<Cast> = {}): Scenario {
  return scenario(types.join(' and '), { ...cast, processes: 2, starts, schemes: types.map(typed), ...more });
}

/** The outsiders: D and E bind a datagram socket without the lock. */
export const letters = ['D', 'E', 'K', 'L', 'R', 'S', 'T', 'U'] as const;

/** Two processes of one type, and one outsider. */
export async function withOutsider(type: SocketType, letter: (typeof letters)[number], starts: number): Promise<Scenario> {
  const more = {
    ...(letter === 'L' && { excludes: unlinksLockUnderStarter }),
    ...('DKS'.includes(letter) && { guarantees: [...allGuarantees, strayUndisturbed] }),
  };
  return scenario(`${type} and ${letter}`, { ...cast, processes: 2, starts, with: letter, scheme: await impatient(type) }, more);
}
