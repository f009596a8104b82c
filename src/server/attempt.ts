import { acquire, acquireAbstract } from '../claim/acquire.js';
import { resolve, type Place, type Target } from '../claim/place.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { isDead, removeIf } from '../claim/removeIf.js';
import { explain } from '../errors/explain.js';
import { boundTo } from '../holder/find.js';
import { failed, run, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import type { Request } from '../request/readRequest.js';
import type { Held } from './held.js';
import { unpin } from './pins.js';

/**
 * One attempt to get an address: what was requested, and the place to which the address leads now.
 * The next attempt resolves the address again.
 */
export interface Attempt {
  readonly request: Request;
  readonly target: Target;
  /** The address in a form that clients can use after a chdir(2). */
  readonly address: string;
}

/**
 * Begins an attempt, which `endAttempt` ends: a hold keeps the parts that it needs.
 *
 * @throws {SocketAddressError} there is no such directory, or a name is too long
 */
export function beginAttempt(request: Request): Attempt {
  const attempt = resolveRequest(request);
  if (isRefusal(attempt)) throw explain(request.text, attempt);
  return attempt;
}

/** Does the same, and returns the refusal. */
export function resolveRequest(request: Request): Attempt | Refusal {
  const { text, address, handover } = request;
  const target = run(kernel, resolve(address, handover));
  if (isRefusal(target)) return target;
  if ('abstract' in target) return { request, target, address: `@${target.abstract}` };
  return { request, target, address: text.startsWith('/') ? text : target.place.path };
}

/** Closes the descriptors that `beginAttempt` opened. */
export function endAttempt({ target }: Attempt): void {
  if (!('abstract' in target)) unpin(target.place);
}

/** Claims the address. With `wait`, waits while another process has the lock. */
export function* acquireTarget({ request: { terms }, target }: Attempt, wait = false): Operation<Held | Refusal> {
  if ('abstract' in target) return yield* acquireAbstract(target.abstract, terms);
  const { place } = target;
  const claim = yield* acquire(place, terms, wait);
  if (isRefusal(claim)) return asListed(place, claim);
  // A holder that served handovers left this when it crashed. No other code removes it, and the
  // lock permits it.
  if (place.handover !== undefined) yield* removeIf(place.handover, isDead);
  return { ...claim, place };
}

/**
 * Returns a refusal as the kernel's list of sockets knows it. connect(2) does not tell whether a
 * socket is live to which this user may not connect. If it is listed, it is another user's server.
 */
export function asListed({ directory, name }: Place, refusal: Refusal): Refusal {
  if (refusal.syscall !== 'probe' || refusal.errno !== 'EACCES') return refusal;
  const file = kernel.fstatat(directory.fd, name);
  return failed(file) || boundTo(file) === undefined ? refusal : { ...refusal, refused: 'stray', errno: 'EADDRINUSE' };
}
