/**
 * Throws an uncaught exception, because there is no caller to tell. A listener of the
 * program has thrown, for example, and what called it has to complete regardless.
 */
export function throwLater(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}
