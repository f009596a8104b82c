import diagnostics from 'node:diagnostics_channel';
import { debuglog } from 'node:util';
import type { SocketAddressError } from '../errors/socketAddressError.js';
import type { Reason } from '../errors/reasons.js';
import type { Holder } from '../holder/holder.js';
import type { Credentials } from '../peers/credentials.js';
import type { Displacement } from './displacement.js';

/**
 * The channels of `node:diagnostics_channel` on which this package publishes, with their messages.
 * `handover`, `displacement` and `denial` report the events of a `Claim`.
 *
 * @example
 * ```js
 * import diagnostics from 'node:diagnostics_channel';
 * import { claim } from 'reuseaddr';
 *
 * diagnostics.subscribe('reuseaddr.release', (message) => console.log(message));
 * const claimed = await claim('/run/app.sock');
 * await claimed.release(); // → { address: '/run/app.sock' }
 * ```
 */
export interface DiagnosticsChannels {
  /** A start was refused. Published by `listen`, `claim`, the preload and `reuseaddr run`. */
  'reuseaddr.refusal': { readonly address: string; readonly error: SocketAddressError };
  'reuseaddr.handover': { readonly address: string };
  'reuseaddr.displacement': { readonly address: string; readonly what: Displacement };
  /** This process has released its claim. Not published at its exit. */
  'reuseaddr.release': { readonly address: string };
  'reuseaddr.denial': { readonly address: string; readonly peer: Credentials | undefined };
}

/**
 * The tracing channels of `node:diagnostics_channel`, with their contexts. `error` is set if the
 * work fails.
 */
export interface DiagnosticsTracing {
  /** From the request for an address until it is claimed or refused. */
  'reuseaddr.claim': { readonly address: string };
  /**
   * From the start of a wait for another process until its end. `reason` and `holder` tell why it
   * waits.
   */
  'reuseaddr.wait': { readonly address: string; readonly reason: Reason; readonly holder: Holder | undefined };
  /**
   * From the request for a handover until its end. `outcome` is set at the end: `taken`, or why the
   * handover failed: `unserved`, `late`, `again`, `denied`, `bad-offer` or an errno.
   */
  'reuseaddr.takeover': { readonly address: string; outcome?: string };
}

const debug = debuglog('reuseaddr');

/** Reports what happens, for NODE_DEBUG=reuseaddr. `text` is called only if it is enabled. */
export function say(address: string, text: () => string): void {
  if (debug.enabled) debug('%s: %s', address, text());
}

/** Publishes to the subscribers of a channel. Without any, it costs a lookup in a map. */
export function publish<Name extends keyof DiagnosticsChannels>(name: Name, message: () => DiagnosticsChannels[Name]): void {
  if (diagnostics.hasSubscribers(name)) diagnostics.channel(name).publish(message());
}

/** Does some work, and tells the subscribers of a tracing channel when it starts and ends. */
export function trace<Name extends keyof DiagnosticsTracing, Result>(
  name: Name,
  context: () => DiagnosticsTracing[Name],
  work: (context: DiagnosticsTracing[Name] | undefined) => Promise<Result>,
): Promise<Result> {
  if (!isTraced(name)) return work(undefined);
  const shared = context();
  const results: Result[] = [];
  // The result of the work is internal, so it is kept out of the context.
  const traced = async (): Promise<void> => void results.push(await work(shared));
  return diagnostics
    .tracingChannel(name)
    .tracePromise(traced, shared)
    .then(() => results[0] as Result);
}

/** Does the same for work that is complete when this returns. */
export function traceNow<Name extends keyof DiagnosticsTracing, Result>(
  name: Name,
  context: () => DiagnosticsTracing[Name],
  work: () => Result,
): Result {
  if (!isTraced(name)) return work();
  const results: Result[] = [];
  diagnostics.tracingChannel(name).traceSync(() => void results.push(work()), context());
  return results[0] as Result;
}

function isTraced(name: keyof DiagnosticsTracing): boolean {
  return ['start', 'end', 'asyncStart', 'asyncEnd', 'error'].some((event) =>
    diagnostics.hasSubscribers(`tracing:${name}:${event}`),
  );
}
