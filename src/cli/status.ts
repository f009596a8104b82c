/** The exit statuses of the command. */
export const status = {
  done: 0,
  failed: 1,
  usage: 2,
  /** The address is in use. For `inspect`: it is not listening. */
  inUse: 3,
} as const;
