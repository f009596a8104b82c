/** How long to wait before the second try; each wait after that is half as long again. */
const firstMs = 1;

/**
 * The longest wait. A server that starts is found within it; and 3,000 clients that wait for one server make 60 to 120 system calls
 * in a millisecond, which leaves it time to accept.
 */
const longestMs = 50;

/**
 * How long to wait after so many tries that failed. `random`, from 0 to 1, spreads clients that began together over the second half
 * of it: else they would all come back at the same moment and fill the same backlog again.
 */
export function pauseMs(failedTries: number, random: number): number {
  const wholeMs = Math.min(firstMs * 1.5 ** failedTries, longestMs);
  return wholeMs * (0.5 + random / 2);
}
