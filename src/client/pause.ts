/** The delay before the second attempt; each later delay is half as long again. */
const firstMs = 1;

/**
 * The longest delay. A client finds a server at most this much after its start. When 3,000 clients
 * wait for one server, they make 60 to 120 system calls in a millisecond, which leaves the server
 * time to accept.
 */
const longestMs = 50;

/**
 * Returns the delay after this many failed attempts.
 *
 * `random`, from 0 to 1, spreads clients that began together over the second half of the delay.
 * Otherwise they would all return at the same moment and fill the same backlog again.
 */
export function pauseMs(failedTries: number, random: number): number {
  const wholeMs = Math.min(firstMs * 1.5 ** failedTries, longestMs);
  return wholeMs * (0.5 + random / 2);
}
