/** What the command ends with. */
export const status = {
  done: 0,
  failed: 1,
  usage: 2,
  /** The address is in use; for `inspect`: it is not listening. */
  inUse: 3,
} as const;
