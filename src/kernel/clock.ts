/**
 * The clock and the timers of the runtime, from the moment when this module was loaded. A test
 * library may replace the global ones with fake timers later, but the lock of another process does
 * not follow these.
 */
export const setTimeout: typeof globalThis.setTimeout = globalThis.setTimeout;
export const clearTimeout: typeof globalThis.clearTimeout = globalThis.clearTimeout;
export const setInterval: typeof globalThis.setInterval = globalThis.setInterval;
export const clearInterval: typeof globalThis.clearInterval = globalThis.clearInterval;
export const setImmediate: typeof globalThis.setImmediate = globalThis.setImmediate;
/** Not `performance`, which Node would have to load. */
const { hrtime } = process;

/** Returns milliseconds of a clock that never goes back. */
export function nowMs(): number {
  const [seconds, nanoseconds] = hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** Waits. Returns early if the signal is aborted, and the caller then checks the signal. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener('abort', end, { once: true });
  });
}

/** The longest delay of a Node timer, about 24 days. */
export const timerMsMax = 0x7fff_ffff;

const pauseMsMin = 5;
const pauseMsMax = 500;

/**
 * The pauses between two looks at something that cannot be waited for: 5 ms, and half as long again
 * each time, up to 500 ms.
 */
export function* pauses(): Generator<number, never, unknown> {
  for (let ms = pauseMsMin; ; ms = Math.min(ms * 1.5, pauseMsMax)) yield ms;
}
