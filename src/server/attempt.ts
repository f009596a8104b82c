import { acquire, acquireAbstract } from '../claim/acquire.js';
import { resolve, type Place, type Target } from '../claim/place.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { isDead, take } from '../claim/take.js';
import { explain } from '../errors/explain.js';
import { boundTo } from '../holder/find.js';
import { failed, run, runPromptly, type Operation } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { waitingKernel } from '../kernel/wait.js';
import type { Request } from '../request/options.js';
import type { Acceptor } from './acceptor.js';
import { Hold, type Held } from './hold.js';
import { inheritedSocket } from './inherit.js';
import { letGo } from './keep.js';

/**
 * One attempt to get an address: what was requested, and the place to which the address leads now.
 * The next attempt resolves the address again.
 */
export interface Attempt {
  readonly request: Request;
  readonly target: Target;
}

/**
 * Begins an attempt, which `endAttempt` ends: a hold keeps the parts that it needs.
 *
 * @throws {SocketAddressError} there is no such directory, or a name is too long
 */
export function beginAttempt(request: Request): Attempt {
  const target = run(kernel, resolve(request.address, request.handover));
  if (isRefusal(target)) throw explain(request.text, target);
  return { request, target };
}

/** Closes the descriptors that `beginAttempt` opened. */
export function endAttempt({ target }: Attempt): void {
  if (!('abstract' in target)) letGo(target.place);
}

/**
 * Makes the claim, and has the acceptor accept on it. The usual attempt ends in this very turn.
 *
 * @param waits If given, waits while another process has the lock, until this is aborted.
 */
export async function claimAndStart(attempt: Attempt, acceptor: Acceptor, waits?: AbortSignal): Promise<Hold | Refusal> {
  const { request, target } = attempt;
  const lockPath = 'abstract' in target || waits === undefined ? undefined : target.place.lockPath;
  const claiming = runPromptly(waitingKernel(waits, lockPath), claimAddress(attempt, waits !== undefined));
  const held = claiming instanceof Promise ? await claiming : claiming;
  const hold = isRefusal(held) ? held : Hold.of(held, request, acceptor);
  if (!isRefusal(hold)) await hold.start();
  return hold;
}

/**
 * Returns the claim of the process that passed a socket bound to the address: sd_listen_fds(3). No
 * lock is taken.
 */
export function inherit({ request, target }: Attempt, acceptor: Acceptor): Hold | Refusal | undefined {
  const listenFd = inheritedSocket(target, { type: request.terms.type, mode: request.mode });
  return typeof listenFd === 'number' ? new Hold({ listenFd, inherited: true }, request, acceptor) : listenFd;
}

/** Claims the address. With `wait`, waits while another process has the lock. */
export function* claimAddress({ request: { terms }, target }: Attempt, wait = false): Operation<Held | Refusal> {
  if ('abstract' in target) return yield* acquireAbstract(target.abstract, terms);
  const { place } = target;
  const claim = yield* acquire(place, terms, wait);
  if (isRefusal(claim)) return asListed(place, claim);
  // A holder that served handovers left this when it crashed. No other code removes it, and the
  // lock permits it.
  if (place.handover !== undefined) yield* take(place.handover, isDead);
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

/** Returns the address in a form that clients can use after a chdir(2). */
export function publicAddress({ request: { text }, target }: Attempt): string {
  if ('abstract' in target) return `@${target.abstract}`;
  return text.startsWith('/') ? text : target.place.path;
}
