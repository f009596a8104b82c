/** Returns the default name of the lock file of a socket. */
export function lockNameOf(socket: string): string {
  return `${socket}.lock`;
}

/** Returns the socket whose lock file has this name by default, or undefined. */
export function guardedBy(lock: string): string | undefined {
  return /^(.+)\.lock$/.exec(lock)?.[1];
}
