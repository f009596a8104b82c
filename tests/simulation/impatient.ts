import type { SocketType } from '#dist/address/socketType.js';
import type { Scheme } from './lives.js';
import { mutate } from './mutate.js';

/**
 * The production code, but it rests once and not five times where it finds the lock taken, or a
 * live socket at the path.
 *
 * A rest in which nothing came of the wait leaves no trace: the calls around it (flock, bind,
 * lstat, probe) failed or only looked, and the process is where it was, with one rest less. So
 * whatever it does after five it can do after one, at the same moment. Every state comes once
 * instead of up to six times for each process. A test compares what the two can come to.
 */
export function impatient(type?: SocketType): Promise<Scheme> {
  return mutate([{ file: 'lock', from: '[0.1, 0.2, 0.4, 0.8, 1.6]', to: '[0.1]' }], type);
}
