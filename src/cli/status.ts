/** What the command ends with. */
export const status = {
  done: 0,
  failed: 1,
  usage: 2,
  /** Somebody has the address; for `inspect`: it is not listening. */
  inUse: 3,
} as const;
