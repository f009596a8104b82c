/** One attempt of a process to have an address. All times are CLOCK_MONOTONIC in milliseconds, of whoever did it. */
export interface Attempt {
  readonly id: string;
  readonly kind: 'start' | 'standby' | 'takeover' | 'stray';
  readonly pid: number;
  acquired?: number;
  /** From here on it may be another's. For `killed` and `releasing` the time just before. */
  end?: { readonly at: number; readonly how: 'releasing' | 'killed' | 'handed over' };
  /** All of its release is done. */
  released?: boolean;
  refused?: { readonly code: string; readonly reason?: string; readonly message?: string };
}

/** What the observer found when it connected. */
export interface Look {
  readonly from: number;
  readonly to: number;
  /** The attempt that greeted it. */
  readonly said?: string;
  readonly failure?: string;
}

export interface RoundRecord {
  readonly attempts: readonly Attempt[];
  readonly looks: readonly Look[];
  /** When processes were killed, stopped or continued: then what a hand-over came to is not known exactly. */
  readonly disturbances: readonly number[];
  readonly displaced: readonly string[];
}

/** For so long after a SIGKILL a process may still be closing what it had accepted. */
const dyingMsMax = 1000;

const refusals = new Set(['held', 'starting', 'stray', 'cancelled']);

/** The caller's own signal called it off. */
const called = new Set(['ABORT_ERR', 'AbortError', 'TimeoutError']);

/** What of it breaks a guarantee. Only what is certain: where a process died in the middle, the doubt is in its favour. */
export function violations({ attempts, looks, disturbances, displaced }: RoundRecord): string[] {
  const found = displaced.map((what) => `G2: ${what}`);
  const acquired = attempts.filter((attempt) => attempt.acquired !== undefined).sort((a, b) => a.acquired! - b.acquired!);
  const byId = new Map(attempts.map((attempt) => [attempt.id, attempt]));

  // G1, G2: who has an address has it until it gives it up, is killed, or hands over.
  for (const [index, later] of acquired.entries()) {
    for (const earlier of acquired.slice(0, index)) {
      if (earlier.end !== undefined && earlier.end.at <= later.acquired!) continue;
      const takenOver = acquired.some(
        ({ kind, acquired: at }) => kind === 'takeover' && at! > earlier.acquired! && at! <= later.acquired!,
      );
      // A stopped process hears later, or never, that it has handed over.
      if (earlier.kind !== 'stray' && takenOver && (earlier.end?.how === 'handed over' || earlier.end?.how === 'killed'))
        continue;
      found.push(`G1: ${later.id} (${later.kind}) got the address while ${earlier.id} (${earlier.kind}) had it`);
    }
  }

  const covers = coverage(acquired, disturbances);
  for (const look of looks) {
    const by = look.said === undefined ? undefined : byId.get(look.said);
    if (look.said !== undefined && by === undefined) {
      found.push(`G1: greeted by ${look.said}, of whom nobody knows`);
      continue;
    }
    if (by?.acquired !== undefined) {
      // G1: there is no way back. A connection that was begun after a successor had the address never reaches its predecessor.
      const successor = acquired.find((other) => other.acquired! > by.acquired! && other.acquired! < look.from);
      if (successor !== undefined) found.push(`G1: ${by.id} answered at ${look.from} after ${successor.id} had the address`);
    }
    // G2, G7: while it is held without a gap, nobody is refused.
    const cover = covers.find(({ from, to }) => from < look.from && look.to < to);
    const nobody = look.failure === 'ENOENT' || look.failure === 'ECONNREFUSED';
    // Cut off: by a process that was killed, perhaps one that had a share of the socket for a moment only.
    const excused = disturbances.some((at) => at > look.from - dyingMsMax && at < look.to);
    const refused = look.said === undefined && look.failure !== 'EAGAIN' && (nobody || !excused);
    if (cover !== undefined && refused)
      found.push(`G7: ${look.failure ?? 'closed without an answer'} at ${look.from}, while ${cover.end.id} had it`);
  }

  for (const { id, refused } of attempts) {
    if (refused === undefined || refusals.has(refused.reason ?? '') || called.has(refused.code)) continue;
    found.push(`G3: ${id} was refused with ${refused.code} ${refused.reason}: ${refused.message}`);
  }
  return found;
}

/** A time in which the address was surely held, and who had it at its end. */
interface Span {
  readonly from: number;
  to: number;
  end: Attempt;
}

/** Spans of time in which the address was surely held: one claim each, or several that were handed over without disturbance. */
function coverage(acquired: readonly Attempt[], disturbances: readonly number[]): Span[] {
  const spans: Span[] = [];
  for (const attempt of acquired) {
    const to = attempt.end?.at ?? Infinity;
    const last = spans.at(-1);
    const before = last?.end;
    const disturbed = disturbances.some(
      (at) => before !== undefined && at > before.acquired! && at < Math.max(attempt.acquired!, before.end?.at ?? 0),
    );
    if (last !== undefined && attempt.kind === 'takeover' && before?.end?.how === 'handed over' && !disturbed) {
      last.to = to;
      last.end = attempt;
    } else spans.push({ from: attempt.acquired!, to, end: attempt });
  }
  return spans;
}
