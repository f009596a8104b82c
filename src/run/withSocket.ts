import { describe } from '../errors/describe.js';
import { ancestorsOf } from '../holder/ancestors.js';
import { Snapshot } from '../inspect/snapshot.js';
import { lstatSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fcntl } from '../kernel/descriptors.js';
import { kernel } from '../kernel/posix.js';
import { explainMistakes } from '../request/mistake.js';
import { readRequest } from '../request/readRequest.js';
import type { Acceptor } from '../server/acceptor.js';
import { Claim } from '../server/claim.js';
import type { Hold } from '../server/hold.js';
import { passedByRun } from '../server/inherit.js';
import { acquireHold } from '../server/acquireHold.js';
import { describeExit, exitStatus } from './instance.js';
import { NotReady, Runner, type RunRequest } from './runner.js';
import type { Fleet } from './fleet.js';

/**
 * How much longer the side that hands over allows than the other side allows its program, in
 * milliseconds.
 */
const slackMs = 5000;

/**
 * How long the same program takes from the removal of a socket file to bind(2), in milliseconds.
 */
const bindMs = 300;

/**
 * Claims the address and has a program accept on its socket. Returns the exit status.
 *
 * The claim belongs to this process: the program gets the listening socket, and no share of the
 * lock. So the address stays claimed while the program is restarted, and a child that the program
 * leaves behind cannot keep it. If this process is killed, the program still serves, and a start
 * finds its live socket.
 */
export async function runWithSocket(asked: RunRequest): Promise<number> {
  const request = explainMistakes(asked.address, 'listen on', () => readRequest(asked.address, asked.listen));
  const runner = new Runner(asked);
  const acceptor = new ProgramAcceptor(asked, runner);
  try {
    const hold = await acquireHold(request, acceptor);
    const claim = new Claim(hold, () => hold.release());
    claim.on('displaced', (what) => void displaced(what, claim).then(asked.report));
    if (hold.inherited) asked.trace(`${hold.address} was passed to run, which takes no lock.`);
    const { fleet } = acceptor;
    if (fleet === undefined) throw new Error('A claim was made, and nothing accepts on it.');
    acceptor.hold = hold;
    const drain = (): void => {
      asked.report(`${claim.address} was handed over; stopping the program.`);
      fleet.drain();
    };
    hold.finish(() => hold.serve(drain, asked.policy.readyWithinMs + slackMs));
    const exit = await fleet.ended;
    await claim.release();
    return exitStatus(exit);
  } catch (error) {
    if (!(error instanceof NotReady)) throw error;
    asked.report(error.message);
    return error.outcome === 'late' ? 1 : exitStatus(error.outcome);
  } finally {
    runner.close();
  }
}

/** The program, which accepts on the claim's socket. */
class ProgramAcceptor implements Acceptor {
  readonly #asked: RunRequest;
  readonly #runner: Runner;
  #fd = -1;
  fleet: Fleet | undefined;
  hold: Hold | undefined;

  constructor(asked: RunRequest, runner: Runner) {
    this.#asked = asked;
    this.#runner = runner;
  }

  async start(fd: number, _address: string, shared = false): Promise<void> {
    this.#fd = fd;
    this.#asked.trace(
      shared ? `Taking over ${this.#asked.address} when the program is ready.` : `Listening on ${this.#asked.address}.`,
    );
    let holderAccepts = shared;
    const fleet = this.#runner.supervise(fd, true, { beforeFirst: () => holderAccepts || this.#makeBlocking(fd) });
    this.fleet = fleet;
    fleet.start();
    if (!shared) return;
    const { readyWithinMs } = this.#asked.policy;
    const failure = await fleet.firstFailure();
    if (failure === undefined) {
      holderAccepts = false;
      return;
    }
    fleet.drain();
    await fleet.ended;
    const { instance, outcome } = failure;
    const what = outcome === 'late' ? `did not say READY=1 within ${readyWithinMs / 1000} s` : describeExit(outcome);
    throw new NotReady(`${instance.name} ${what}, so ${this.#asked.address} was not taken over.`, outcome);
  }

  /**
   * Makes the socket blocking, as systemd(1) passes it and programs expect it: in Python, accept(2)
   * would otherwise raise. All processes that have the socket share the flag. So it stays
   * non-blocking while any of them may be accepting: an event loop would hang in accept(2).
   */
  #makeBlocking(fd: number): void {
    if (this.hold?.handover?.offering !== true && !passedByRun()) fcntl(fd, 'F_SETFL', '');
  }

  stop(): void {
    this.fleet?.drain();
    kernel.close(this.#fd);
  }

  drain(): void {
    this.hold?.closeSocket();
  }
}

async function displaced(what: 'socket' | 'lock', { address, lockPath }: Claim): Promise<string> {
  if (what === 'lock')
    return `Another process has removed or replaced the lock file ${lockPath}: another process may claim ${address} now.`;
  // Most programs that bind a path remove it first, and that removal has just been noticed.
  await pause(bindMs, undefined, { ref: false });
  const file = lstatSync(address, { bigint: true, throwIfNoEntry: false });
  const snapshot = new Snapshot();
  const bound = file && snapshot.boundTo(address, file);
  const binder = bound && snapshot.holderOf(bound);
  if (binder !== undefined && ancestorsOf(binder.pid).includes(process.pid))
    return (
      `The program itself, ${describe(binder)}, has replaced ${address} by a socket of its own, and does not use descriptor 3. ` +
      'If it can only bind the path, start it with --bind-self.'
    );
  const change = file === undefined ? 'has removed' : 'has replaced';
  return `The program or another process ${change} ${address}: no new client reaches the program. Restart run to fix that.`;
}
