let made = 0;

/**
 * An abstract name of this test's own, of the full 107 bytes: a shorter one is padded with NULs by
 * Node 20's own client, which then asks for another name. `reuseaddr` takes the address, Node's
 * client the name.
 */
export function abstractName(): { readonly address: string; readonly nodePath: string } {
  const name = `reuseaddr-test-${process.pid}-${made++}-`.padEnd(107, '.');
  return { address: `@${name}`, nodePath: `\0${name}` };
}
