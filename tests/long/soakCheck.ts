import { surelyHeld, type Held } from './soakCover.js';
import { isOutsider, lifeOf, mayHaveSucceeded, overlap, tryOf, type Attempt, type Look, type RoundRecord } from './soakRecord.js';

/** A process has the address, or the attempt was called off. */
const reasons = new Set(['held', 'starting', 'stray', 'cancelled']);

/** The caller's own signal called it off. */
const called = new Set(['ABORT_ERR', 'AbortError', 'TimeoutError']);

/**
 * Returns the certain violations of a guarantee. Nothing is excused by a length of time: an excuse
 * ends with a fact, which is that a process has said that it closed everything, or was waited for.
 */
export function violations(round: RoundRecord): string[] {
  return [
    ...round.displaced.filter((event) => !isDisplaced(event, round)).map(({ id, what }) => `G2: ${id} was displaced: ${what}`),
    ...secondHolders(round),
    ...lostHandovers(round),
    ...wrongAnswers(round),
    ...refusedConnections(round),
    ...wrongRefusals(round),
  ];
}

function isDisplaced({ at, what }: RoundRecord['displaced'][number], { attempts }: RoundRecord): boolean {
  return what === 'socket' && attempts.some(({ kind, asked }) => kind === 'displacer' && asked < at);
}

/** G1, G2: who has an address has it until it gives it up, its process ends, or it hands over. */
function secondHolders({ attempts }: RoundRecord): string[] {
  const acquired = inOrder(attempts);
  const found: string[] = [];
  for (const [index, later] of acquired.entries()) {
    for (const earlier of acquired.slice(0, index)) {
      if (earlier.end !== undefined && earlier.end.at <= later.acquired!) continue;
      if (hasPassedOn(earlier, later, attempts) || isOutsidersWork(earlier, later, attempts)) continue;
      found.push(`G1: ${later.id} (${later.kind}) got the address while ${earlier.id} (${earlier.kind}) had it`);
    }
  }
  return found;
}

/**
 * Whether it has surely, or perhaps, handed over before `later` came: it may come to say so late,
 * or be killed before.
 */
function hasPassedOn(earlier: Attempt, later: Attempt, attempts: readonly Attempt[]): boolean {
  if (isOutsider(earlier) || earlier.end === undefined || earlier.end.how === 'releasing') return false;
  return attempts.some(
    (other) =>
      (sameSocket(earlier, other) && other.acquired! > earlier.acquired! && other.acquired! <= later.acquired!) ||
      (mayHaveSucceeded(other, earlier) && other.end!.at <= later.acquired!),
  );
}

/** Whether an outsider has come in between, by a means against which no program can do anything. */
function isOutsidersWork(earlier: Attempt, later: Attempt, attempts: readonly Attempt[]): boolean {
  if (later.kind === 'displacer') return true;
  // It was past its look at the path already.
  if (earlier.kind === 'displacer') return later.asked <= earlier.acquired!;
  return isOutsider(later) && attempts.some(({ kind, asked }) => kind === 'displacer' && asked < later.acquired!);
}

function sameSocket(one: Attempt, other: Attempt): boolean {
  return one !== other && one.acquired !== undefined && other.acquired !== undefined && one.socket === other.socket;
}

/** G7: what was handed over has arrived. */
function lostHandovers({ attempts }: RoundRecord): string[] {
  const lost = attempts.filter(
    (attempt) =>
      attempt.end?.how === 'handed over' &&
      !attempts.some((other) => sameSocket(attempt, other) && other.acquired! > attempt.acquired!) &&
      !attempts.some((other) => mayHaveSucceeded(other, attempt) && other.asked <= attempt.end!.at),
  );
  return lost.map(({ id }) => `G7: ${id} says that it has handed over, and no process has taken over`);
}

/**
 * G1: a connection reaches only who has the address, or shares it, when it is begun. There is no
 * way back.
 */
function wrongAnswers({ attempts, looks }: RoundRecord): string[] {
  const byId = new Map(attempts.map((attempt) => [attempt.id, attempt]));
  const acquired = inOrder(attempts);
  const found: string[] = [];
  for (const { said, from } of looks) {
    if (said === undefined) continue;
    const by = byId.get(said);
    if (by === undefined) found.push(`G1: greeted by ${said}, which is unknown`);
    // A new process from which the holder withdrew its offer may have accepted meanwhile. No other
    // process accepts before it has the address.
    else if (by.refused !== undefined && by.kind !== 'takeover') found.push(`G1: ${said} answered at ${from}, and was refused`);
    else if (by.gone !== undefined && by.gone < from) found.push(`G1: ${said} answered at ${from}, after it had closed all`);
    else if (by.acquired !== undefined) {
      const successor = acquired.find(
        (other) =>
          other.acquired! > by.acquired! &&
          other.acquired! < from &&
          !(by.kind === 'displacer' && isOutsidersWork(by, other, attempts)),
      );
      if (successor !== undefined) found.push(`G1: ${said} answered at ${from}, after ${successor.id} had the address`);
    }
  }
  return found;
}

/**
 * G2, G7: while it is held without a gap, no client is refused, and only a client that was accepted
 * by a process that then died is cut off.
 */
function refusedConnections({ attempts, looks, deaths }: RoundRecord): string[] {
  const helds = surelyHeld(attempts);
  const found: string[] = [];
  for (const look of looks) {
    if (look.said !== undefined || look.failure === 'EAGAIN') continue;
    const held = helds.find((span) => isWithin(look, span));
    const nobody = look.failure === 'ENOENT' || look.failure === 'ECONNREFUSED';
    if (held === undefined || (!nobody && deaths.some((death) => overlap(death, look)))) continue;
    found.push(`G7: ${look.failure ?? 'closed without an answer'} at ${look.from}, while ${held.id} had it`);
  }
  return found;
}

function isWithin(look: Look, { from, to }: Held): boolean {
  return from < look.from && look.to < to;
}

/**
 * G3: an attempt is refused only because another process may have had the address at some time
 * between its question and the answer.
 */
function wrongRefusals({ attempts, deaths, cleanings }: RoundRecord): string[] {
  const found: string[] = [];
  for (const attempt of attempts) {
    const { id, refused } = attempt;
    if (refused === undefined) continue;
    if (isOutsider(attempt)) {
      if (refused.code !== 'EADDRINUSE') found.push(`${id} (${attempt.kind}) failed: ${refused.code}`);
      continue;
    }
    const asking = { from: attempt.asked, to: refused.at };
    const others = attempts.filter((other) => other !== attempt && overlap(lifeOf(other), asking));
    const said = `${refused.code} ${refused.reason}: ${refused.message}`;
    const meets = reasons.has(refused.reason ?? '') || called.has(refused.code) || isRemoval(attempt, others, attempts);
    if (!meets) found.push(`G3: ${id} was refused with ${said}`);
    else if (others.length === 0 && !cleanings.some((cleaning) => overlap(cleaning, asking)))
      found.push(`G3: ${id} was refused while no process could have the address: ${said}`);
    // A process that dies may close its lock before its socket.
    else if (refused.reason === 'stray' && !others.some(isOutsider) && !deaths.some((death) => overlap(death, asking)))
      found.push(`G1: ${id} came past the lock of a holder, and took it for a stray: ${said}`);
  }
  return found;
}

/**
 * Whether it is refused because the socket file went away: by a displacer, or by a process that was
 * just about to release.
 */
function isRemoval({ asked, refused }: Attempt, others: readonly Attempt[], attempts: readonly Attempt[]): boolean {
  const asking = { from: asked, to: refused!.at };
  if (refused!.reason === 'unstable') return others.some((other) => other.kind === 'displacer' && overlap(tryOf(other), asking));
  if (refused!.reason !== 'displaced') return false;
  return (
    attempts.some((other) => other.kind === 'displacer' && other.asked < asking.to) ||
    others.some(({ end, gone }) => end !== undefined && overlap({ from: end.at, to: gone ?? Infinity }, asking))
  );
}

function inOrder(attempts: readonly Attempt[]): Attempt[] {
  return attempts.filter(({ acquired }) => acquired !== undefined).sort((a, b) => a.acquired! - b.acquired!);
}
