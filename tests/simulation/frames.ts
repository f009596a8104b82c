import type { Conversation, SystemCall } from '#dist/kernel/kernel.js';
import { keyOf } from './numbers.js';

/**
 * One running generator of an operation: what its finished sub-operations returned to it, and the
 * one that it is in.
 */
interface Frame {
  readonly returned: unknown[];
  inner: Frame | undefined;
}

/** How far an operation came. */
export interface Progress {
  readonly step: IteratorResult<SystemCall, unknown>;
  /** Two operations that began alike and have the same key continue alike. */
  readonly key: string;
}

const generators = Object.getPrototypeOf(function* () {}.prototype as object) as { next: Next };
type Next = (this: unknown, value?: unknown) => IteratorResult<unknown, unknown>;

/**
 * Runs a new operation up to its next system call after `answers`.
 *
 * The next step of a generator is determined by its arguments and by the result of each `yield*` in
 * it. So a sub-operation that is over may be forgotten but for its outcome: whether a lock was got
 * at the first or at the third try makes no difference to the bind that follows. The key is this:
 * for each generator that is not over, the outermost first, what has been returned to it. Without
 * it there are some six hundred histories for each line of the protocol, which differ in nothing
 * that counts.
 *
 * `yield*` calls the `next` of the inner generator by its name (ECMA-262, 15.5.5), so the nesting
 * can be watched from there, and the protocol runs as it is. It takes for granted that no generator
 * changes a variable of another one; the simulation checks that on a scenario which it also
 * explores without forgetting anything.
 */
export function advance(begin: () => Conversation<unknown>, answers: readonly unknown[]): Progress {
  const frames = new WeakMap<object, Frame>();
  const root: Frame = { returned: [], inner: undefined };
  let current = root;
  const { next } = generators;
  generators.next = function (this: object, value) {
    const outer = current;
    current = frames.get(this) ?? { returned: [], inner: undefined };
    frames.set(this, current);
    outer.inner = current;
    try {
      const step = next.call(this, value);
      if (step.done) {
        outer.returned.push(step.value);
        outer.inner = undefined;
      }
      return step;
    } finally {
      current = outer;
    }
  } as Next;
  try {
    const operation = begin();
    let step = operation.next();
    for (const answer of answers) step = operation.next(answer);
    return { step, key: keyOf(stack(root)) };
  } finally {
    generators.next = next;
  }
}

function stack({ returned, inner }: Frame): unknown[][] {
  return inner ? [returned, ...stack(inner)] : [returned];
}
