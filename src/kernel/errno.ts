import os from 'node:os';
import { getSystemErrorName } from 'node:util';
import type { Errno } from './kernel.js';

const errnoNames = new Map<number, Errno>();

/**
 * Returns the name of a negated errno. Node lacks the names of ENOLCK, ESTALE and EDQUOT.
 *
 * @internal
 */
export function errnoName(negated: number): Errno {
  let name = errnoNames.get(negated);
  if (name === undefined) {
    const known = getSystemErrorName(negated);
    const named = /^E[A-Z0-9]+$/.test(known)
      ? known
      : Object.entries(os.constants.errno).find(([, number]) => number === -negated)?.[0];
    name = (named ?? `E${-negated}`) as Errno;
    errnoNames.set(negated, name);
  }
  return name;
}
