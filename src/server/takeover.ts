import { removes } from '../claim/acquire.js';
import type { Target } from '../claim/place.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import type { Offered } from '../handover/offer.js';
import { askHolder, type NotReceived } from '../handover/askHolder.js';
import { nowMs, pause, pauses } from '../kernel/clock.js';
import { Descriptor } from '../kernel/descriptor.js';
import { runAsync, type AsyncKernel } from '../kernel/kernel.js';
import { waitingKernel } from '../kernel/wait.js';
import { removeAbandoned } from './abandoned.js';
import type { Acceptor } from './acceptor.js';
import type { Attempt } from './attempt.js';
import type { Held } from './held.js';
import { Hold } from './hold.js';
import { isInUse } from './refused.js';

/**
 * How long a holder that listens may still be about to bind its handover socket, in milliseconds.
 */
const unservedMs = 50;

/**
 * Asks the holder for the claim, and repeats this while it may succeed: the holder may only just be
 * starting, or may have handed over to another process, which is then asked. If the address has
 * become free in between, `acquire` makes the claim.
 *
 * The acceptor has started when this returns a hold.
 */
export async function takeOver(
  attempt: Attempt,
  acceptor: Acceptor,
  takeoverMs: number,
  first: Refusal,
  acquire: () => Promise<Hold | Refusal>,
): Promise<Hold | Refusal> {
  const { signal } = attempt.request;
  const sinceMs = nowMs();
  const untilMs = sinceMs + takeoverMs;
  let refusal = first;
  for (const pauseMs of pauses()) {
    const leftMs = Math.max(untilMs - nowMs(), 0);
    const offered = await ask(attempt, acceptor, leftMs);
    if (isRefusal(offered)) return offered;
    if (typeof offered === 'object') return holdOffered(attempt, acceptor, offered);
    const starting = refusal.refused === 'starting' || nowMs() - sinceMs < unservedMs;
    const mayStillCome = offered === 'again' || (offered === 'unserved' && starting);
    if (!mayStillCome || nowMs() >= untilMs) return { ...refusal, handover: offered };
    await pause(pauseMs, signal);
    if (signal?.aborted === true) return refusal;
    const hold = await acquire();
    if (!isInUse(hold)) return hold;
    refusal = hold;
  }
  return refusal;
}

/** Asks once. Throws the acceptor's error. */
async function ask(
  { request: { terms, signal }, target, address }: Attempt,
  acceptor: Acceptor,
  timeoutMs: number,
): Promise<Offered | NotReceived | Refusal> {
  const failures: unknown[] = [];
  const accepting = new SharedAcceptor(acceptor, address, (error) => failures.push(error));
  try {
    const outcome = await runAsync(accepting.kernel(signal), askHolder(target, terms, timeoutMs));
    if (typeof outcome !== 'object' || isRefusal(outcome)) cleanUp(target, outcome);
    if (failures.length > 0) throw failures[0];
    return outcome;
  } catch (error) {
    accepting.stop();
    cleanUp(target);
    throw error;
  }
}

/**
 * Cleans up. The offer may have been on its way, or here, when the holder gave up too: then this
 * process had the last share of the claim.
 */
function cleanUp(target: Target, outcome?: NotReceived | Refusal): void {
  if ('place' in target && outcome !== 'unserved' && outcome !== 'denied') removeAbandoned(target.place);
}

/** The acceptor, while the holder accepts on the same socket. */
class SharedAcceptor {
  readonly #acceptor: Acceptor;
  readonly #address: string;
  readonly #fail: (error: unknown) => void;
  #given: Descriptor | undefined;
  #started = false;

  constructor(acceptor: Acceptor, address: string, fail: (error: unknown) => void) {
    this.#acceptor = acceptor;
    this.#address = address;
    this.#fail = fail;
  }

  /** Returns the real kernel with waits, and with the acceptor for the event loop. */
  kernel(signal: AbortSignal | undefined): AsyncKernel {
    const base = waitingKernel();
    const cancellable = waitingKernel(signal);
    return {
      ...base,
      // Only the wait for an offer can be cancelled. Afterwards this process has a share, and must
      // learn what the holder does.
      poll: (fd, timeoutMs) => (timeoutMs === Infinity ? base : cancellable).poll(fd, timeoutMs),
      accepting: async (operation, fd) => {
        try {
          if (operation === 'start') await this.#start(fd);
          else this.stop();
          return 0;
        } catch (error) {
          this.#fail(error);
          return 'EIO';
        }
      },
      // The acceptor may have closed its descriptor, and then another file may have the number.
      close: (fd) => (this.#given?.fd === fd ? this.#given.close() : base.close(fd)),
    };
  }

  async #start(fd: number): Promise<void> {
    this.#given = Descriptor.at(fd);
    this.#started = true;
    await this.#acceptor.start(fd, this.#address, true);
  }

  stop(): void {
    if (this.#started) this.#acceptor.stop();
    this.#started = false;
  }
}

function holdOffered(attempt: Attempt, acceptor: Acceptor, offered: Offered): Hold {
  const { request, target } = attempt;
  const { listenFd, lockFd, identity } = offered;
  const held: Held =
    'abstract' in target || lockFd === undefined
      ? { listenFd }
      : { listenFd, lockFd, identity, place: target.place, removesLock: removes(request.terms, { made: false }) };
  return Hold.received(offered, held, attempt, acceptor);
}
