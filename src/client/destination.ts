import type { Address } from '../address/address.js';

/** An address as connect(2) takes it, whatever the working directory will be: an absolute path, or a NUL and an abstract name. */
export function destinationOf(address: Address): string {
  if (address.kind === 'abstract') return `\0${address.name}`;
  // Not path.resolve: it takes the `..` of a symlink for the directory that the link is in, and the kernel does not.
  if (address.kind === 'pipe' || address.path.startsWith('/')) return address.path;
  const directory = process.cwd();
  return `${directory === '/' ? '' : directory}/${address.path}`;
}
