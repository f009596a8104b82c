import { busyOf, isOutsider, mayHaveSucceeded, overlap, tryOf, type Attempt, type Span } from './soakRecord.js';

/** A time in which the address was surely held, without a gap, and who had it at its end. */
export interface Held extends Span {
  readonly id: string;
}

/** The times in which a process surely listened at the address. */
export function surelyHeld(attempts: readonly Attempt[]): Held[] {
  const acquired = attempts.filter((attempt) => attempt.acquired !== undefined);
  const sockets = new Map<number, Attempt[]>();
  for (const attempt of acquired) {
    if (attempt.socket === undefined) continue;
    sockets.set(attempt.socket, [...(sockets.get(attempt.socket) ?? []), attempt]);
  }
  return [
    ...[...sockets.values()].map((owners) => heldByClaim(owners, attempts)),
    ...acquired.filter(isOutsider).map((attempt) => heldByOutsider(attempt, attempts)),
  ];
}

/**
 * One listening socket, from the first who had it to the last. Its number says that it was handed
 * over and not made anew; so it was open, and its name was at the path, all of the time, whichever
 * process died in between.
 */
function heldByClaim(owners: readonly Attempt[], attempts: readonly Attempt[]): Held {
  const sorted = [...owners].sort((a, b) => a.acquired! - b.acquired!);
  const [first, last] = [sorted[0]!, sorted.at(-1)!];
  const from = first.acquired!;
  const ends = [last.end?.at ?? Infinity];
  // A process that has died meanwhile may have had it last.
  if (last.end?.how !== 'releasing')
    ends.push(...attempts.filter((other) => mayHaveSucceeded(other, last)).map((other) => other.end!.at));
  // Its name was at the path a moment before the process came to say so: a displacer may have been
  // there in between.
  const whole = { from: first.asked, to: Math.min(...ends) };
  const displacers = attempts.filter((other) => other.kind === 'displacer' && overlap(tryOf(other), whole));
  return { id: last.id, from, to: Math.min(whole.to, ...displacers.map(({ asked }) => asked)) };
}

/**
 * A program without locks. A process that was just about to judge or to remove when a displacer
 * came may have set its file aside, and puts it back then; or, if it dies just there, the next
 * start does. This therefore begins at the end of all that was under way.
 */
function heldByOutsider(attempt: Attempt, attempts: readonly Attempt[]): Held {
  const from = attempt.acquired!;
  const to = attempt.end?.at ?? Infinity;
  if (attempt.kind === 'stray') return { id: attempt.id, from, to };
  const before = attempts.filter((other) => other !== attempt && !isOutsider(other));
  const busy = before.flatMap((other) => busyOf(other).map((span) => ({ ...span, died: other.end?.how === 'process ends' })));
  const going = busy.filter((span) => overlap(span, { from: attempt.asked, to: from }));
  if (going.some(({ died }) => died)) return { id: attempt.id, from, to: from };
  return { id: attempt.id, from: Math.max(from, ...going.map((span) => span.to)), to };
}
