/** @packageDocumentation `SO_REUSEADDR` for Unix domain sockets. */
export { claim, Claim } from './server/claim.js';
export type { ClaimSummary } from './server/claim.js';
export type { DiagnosticsChannels, DiagnosticsTracing } from './server/trace.js';
export { listen } from './server/listen.js';
export type { ListenOptions } from './request/options.js';
export { SocketAddressError } from './errors/error.js';
export type { Reason } from './errors/reasons.js';
export type { Holder } from './holder/holder.js';
export { inspect } from './inspect/inspect.js';
export type { AddressState, Inspection, InspectOptions } from './inspect/inspect.js';
export { connect } from './client/connect.js';
export type { ConnectOptions } from './client/connect.js';
export { peerCredentials } from './peers/credentials.js';
export type { Credentials } from './peers/credentials.js';
export type { AllowRule } from './request/rule.js';
export type { ClaimEvents } from './server/claim.js';
export type { Displacement } from './server/watch.js';
