import { writeRecord } from '../claim/acquire.js';
import type { Place, Target } from '../claim/place.js';
import { isRefusal, type Refusal } from '../claim/refusal.js';
import { removeDead, findReplaced, acquireUnbound } from '../claim/acquireUnbound.js';
import { eraseAndUnlock } from '../claim/release.js';
import { unlinkLock } from '../claim/unlink.js';
import { isDead, removeIf } from '../claim/removeIf.js';
import type { SocketAddressError } from '../errors/socketAddressError.js';
import { explainWrong } from '../errors/explain.js';
import { describe } from '../errors/describe.js';
import { show } from '../errors/show.js';
import { recordOfProgram } from '../holder/self.js';
import { pause, pauses } from '../kernel/clock.js';
import { run, runAsync } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { waitingKernel } from '../kernel/wait.js';
import { explainMistakes } from '../request/mistake.js';
import { readRequest, type Request } from '../request/readRequest.js';
import { asListed, beginAttempt } from '../server/attempt.js';
import { unpin } from '../server/pins.js';
import { refused } from '../server/refused.js';
import { mayCome, waitFor } from '../server/waitFor.js';
import { exitStatus, type Exit } from './instance.js';
import { watchOwnLock } from './ownLock.js';
import { Runner, type RunRequest } from './runner.js';

/**
 * Claims the address for a program that binds it by itself. Returns the exit status.
 *
 * The program inherits the lock. A lock of flock(2) belongs to the open file description, so the
 * claim lives as long as any process has it, even if this process is killed.
 */
export async function runBindingItself(asked: RunRequest): Promise<number> {
  const request = explainMistakes(asked.address, 'listen on', () => readRequest(asked.address, asked.listen));
  const first = placeOf(request);
  const runner = new Runner(asked);
  let used = first;
  try {
    const { lockFd, place } = await acquireLock(request, first);
    used = place;
    asked.trace(`Locked ${place.lockPath}; the program binds ${place.path}.`);
    // A holder that served handovers left this when it crashed.
    if (place.handover !== undefined) run(kernel, removeIf(place.handover, isDead));
    let program: number | undefined;
    let wrong: SocketAddressError | undefined;
    const conflict = new AbortController();
    const fleet = runner.supervise(lockFd, false, {
      makeRoom: async (signal) => {
        const replaced = run(kernel, findReplaced(place));
        if (replaced === undefined) return await untilFree(request, place, signal, asked.report);
        // The program would bind in a directory in which our lock means nothing.
        wrong = refused({ request, target: { place } }, replaced);
        fleet.drain();
      },
      after: ({ pid }) => {
        program = pid;
        if (pid !== undefined) run(kernel, writeRecord(lockFd, recordOfProgram(pid, [asked.command, ...asked.args])));
      },
    });
    fleet.start();
    const unwatch = watchOwnLock(
      lockFd,
      () => program,
      (waiter) => {
        conflict.abort();
        wrong = ownLock(request, place);
        fleet.drain();
        stop(waiter);
      },
    );
    const exit = await fleet.ended;
    unwatch();
    // A child of the program may still serve, with the lock that it has inherited. Then the record
    // belongs to that child, too.
    if (isRefusal(run(kernel, removeDead(place)))) kernel.close(lockFd);
    else run(kernel, eraseAndUnlock({ lockFd }));
    const failed = wrong === undefined && mayUseLock(asked, place, exit);
    // The program would find our lock file when it is started without us.
    if (conflict.signal.aborted || failed) run(kernel, unlinkLock(place));
    if (wrong !== undefined) throw wrong;
    if (failed) asked.report(hint(asked, place, exit));
    return exitStatus(exit);
  } finally {
    runner.close();
    unpin(used);
  }
}

/**
 * Ends the process that waits for our lock, which may be a child of the program. It would outlive
 * the program, and wait indefinitely for the lock that it has itself inherited.
 */
function stop(waiter: number): void {
  try {
    process.kill(waiter, 'SIGTERM');
  } catch {
    // It has ended.
  }
}

/**
 * Whether the program may have failed because of our lock file: it creates a file of this name with
 * O_EXCL, or reads its own record in it.
 */
function mayUseLock({ listen }: RunRequest, { directory, name }: Place, { code }: Exit): boolean {
  const unsuccessful = code !== 0 && code !== null && listen.lockPath === undefined;
  return unsuccessful && kernel.fstatat(directory.fd, name) === 'ENOENT';
}

function hint({ command }: RunRequest, { path, lockPath }: Place, { code }: Exit): string {
  const without = `${show(command)} ended with status ${code} and without a socket at ${show(path)}.`;
  return `${without} If it uses ${show(lockPath)} itself, give run another lock file with --lock-path.`;
}

/**
 * Returns the error for a program that wants the lock itself. It was stopped, because it would have
 * waited for our lock until its end.
 */
function ownLock({ text }: Request, { lockPath }: Place): SocketAddressError {
  const wrong = `the program locks ${show(lockPath)} itself, which run holds for it, and would wait for it indefinitely`;
  return explainWrong(text, 'bad-option', 'EINVAL', { wrong, right: 'give run another lock file with --lock-path' });
}

function placeOf(request: Request): Place {
  const { address, text } = request;
  if (address.kind !== 'pathname')
    throw explainWrong(text, 'bad-option', 'EINVAL', { wrong: '--bind-self is for a path; an abstract name needs no lock' });
  return (beginAttempt(request).target as Extract<Target, { place: Place }>).place;
}

/**
 * Waits until the path is free. Removes the socket that the last instance left, once it is proved
 * dead, under the lock.
 *
 * While the socket lives, another process serves on it, such as a child of the program. A program
 * that unlinks the path before it binds would take the address from that process.
 */
async function untilFree(request: Request, place: Place, signal: AbortSignal, report: (message: string) => void): Promise<void> {
  let reported = '';
  for (const pauseMs of pauses()) {
    const refusal = run(kernel, removeDead(place));
    if (!isRefusal(refusal)) return;
    const { holder, message } = refused({ request, target: { place } }, refusal);
    const known = holder === undefined ? message : `${request.text} is still in use by ${describe(holder)}.`;
    if (known !== reported) report(`${known} The next instance is started when that has ended.`);
    reported = known;
    await pause(pauseMs, signal);
    if (signal.aborted) return;
  }
}

/** A lock that this process has, and the place whose lock it is. */
interface Reserved {
  readonly lockFd: number;
  readonly place: Place;
}

/** Returns the lock, after the requested waits. */
async function acquireLock(request: Request, place: Place): Promise<Reserved> {
  const { terms, waitMs } = request;
  const acquired = run(kernel, acquireUnbound(place, terms.record, false));
  if (!isRefusal(acquired)) return { lockFd: acquired, place };
  const refusal = asListed(place, acquired);
  if (waitMs === undefined || !mayCome(refusal)) throw refused({ request, target: { place } }, refusal);
  const waited = await waitFor(request, refusal, (signal) => waitOnce(request, signal));
  if (isRefusal(waited)) throw refused({ request, target: { place } }, waited);
  unpin(place);
  return waited;
}

async function waitOnce(request: Request, signal: AbortSignal): Promise<Reserved | Refusal> {
  const place = placeOf(request);
  const acquired = await runAsync(waitingKernel(signal, place.lockPath), acquireUnbound(place, request.terms.record, true));
  if (!isRefusal(acquired)) return { lockFd: acquired, place };
  const refusal = asListed(place, acquired);
  unpin(place);
  return refusal;
}
