import type { Address } from '../address/address.js';

/** Returns an address as connect(2) takes it: a path, or a NUL and an abstract name. */
export function destinationOf(address: Address): string {
  return address.kind === 'abstract' ? `\0${address.name}` : address.path;
}
