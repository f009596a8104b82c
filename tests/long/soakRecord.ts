/**
 * One attempt of a process to have an address. All times are CLOCK_MONOTONIC in milliseconds, of
 * the process that did it.
 *
 * `start`, `standby` and `takeover` are those of reuseaddr. A `stray` listens without it. A
 * `displacer` does so too, and removes before any file at the path: no process can keep an address
 * against it, but the file that it binds must stay as it is.
 */
export interface Attempt {
  readonly id: string;
  readonly kind: 'start' | 'standby' | 'takeover' | 'stray' | 'displacer';
  readonly pid: number;
  /** Just before it was told to. */
  readonly asked: number;
  /** By then it had the address. */
  acquired?: number;
  /**
   * The number of its listening socket, by fstat(2): the same after a handover, another after
   * anything else.
   */
  socket?: number | undefined;
  refused?: {
    readonly at: number;
    readonly code: string;
    readonly reason: string | undefined;
    readonly message: string | undefined;
  };
  /** From here on it may be another's. For `releasing` and `process ends` the time just before. */
  end?: { readonly at: number; readonly how: 'releasing' | 'process ends' | 'handed over' };
  /** By then it has closed all that it had: it said so, or its process was waited for. */
  gone?: number;
}

/** The result of the observer's connection. */
export interface Look {
  readonly from: number;
  readonly to: number;
  /** The attempt that greeted it. */
  readonly said?: string;
  readonly failure?: string;
}

/** A time in which something went on: it began not before `from`, and was over by `to`. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface RoundRecord {
  readonly attempts: readonly Attempt[];
  readonly looks: readonly Look[];
  /**
   * From the SIGKILL, or from the order to exit, until the process was waited for. Connections that
   * it had accepted are lost with it.
   */
  readonly deaths: readonly Span[];
  /** While a cleaner had the lock. */
  readonly cleanings: readonly Span[];
  readonly displaced: readonly { readonly at: number; readonly id: string; readonly what: string }[];
}

/** The first end counts. A message of a process may come to us after we have killed it. */
export function endAt(attempt: Attempt, at: number, how: NonNullable<Attempt['end']>['how']): void {
  if (attempt.end === undefined || at < attempt.end.at) attempt.end = { at, how };
}

export function goneAt(attempt: Attempt, at: number): void {
  attempt.gone = Math.min(attempt.gone ?? Infinity, at);
}

/** It listens without reuseaddr. */
export function isOutsider({ kind }: Attempt): boolean {
  return kind === 'stray' || kind === 'displacer';
}

/** Whether it may have taken over from `holder`, and has died before it could say so. */
export function mayHaveSucceeded(other: Attempt, holder: Attempt): boolean {
  if (other === holder || other.kind !== 'takeover' || other.acquired !== undefined || other.refused !== undefined) return false;
  return other.end?.how === 'process ends' && (other.gone ?? Infinity) >= holder.acquired!;
}

export function overlap(one: Span, other: Span): boolean {
  return one.from <= other.to && other.from <= one.to;
}

/** The time in which it may have had the address, or a share of it, or its lock. */
export function lifeOf({ asked, gone }: Attempt): Span {
  return { from: asked, to: gone ?? Infinity };
}

/** The time in which it made the attempt. */
export function tryOf({ asked, acquired, gone }: Attempt): Span {
  return { from: asked, to: Math.min(acquired ?? Infinity, gone ?? Infinity) };
}

/**
 * The times in which it may have removed something from the directory: while it tried, and while it
 * gave up what it had.
 */
export function busyOf(attempt: Attempt): Span[] {
  const { end, gone } = attempt;
  return end === undefined ? [tryOf(attempt)] : [tryOf(attempt), { from: end.at, to: gone ?? Infinity }];
}
