import { hasConnections, socketTypeDefault, type SocketType } from '../address/socketType.js';
import type { Target } from '../claim/place.js';
import { refuse, type Refusal, type Unpassed } from '../claim/refusal.js';
import { closeAll, format, receive, type SocketIdentity } from '../handover/message.js';
import { nowMs } from '../kernel/clock.js';
import { describeSocket, fcntl } from '../kernel/descriptors.js';
import { failed, run, runPromptly, sys, talk, type Conversation, type Errno } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { permitted } from '../kernel/runtime.js';
import { waitingKernel } from '../kernel/wait.js';
import type { Attempt } from './attempt.js';
import { identityAt, isBoundTo } from './bound.js';
import { Supervisor } from './supervisor.js';

/**
 * The environment variable that names the socket on which `reuseaddr run` passes its listening
 * socket to the processes below its program. A descriptor does not get past a wrapper such as npm:
 * Node does not leave it to its children.
 */
export const supervisorVariable = 'REUSEADDR_RUN';

/** How long `run` may take to answer. It answers at once, unless it is stopped. */
const answerMsMax = 5000;

/** The pause between two looks, where no thread waits, in milliseconds. */
const lookMs = 2;

/** A longer name is left out of the question, which has to fit into one message. */
const nameBytesMax = 2048;

/** The socket of `reuseaddr run`, and the connection over which it came. */
export interface Passed {
  readonly listenFd: number;
  readonly supervisor: Supervisor;
}

/**
 * A socket; a refusal, because another process of the program has it, or it is of another type; why
 * it was not passed; or undefined if no `run` above this process has the address.
 */
export type Answer = Passed | Refusal | Unpassed | undefined;

let supervisorName: string | undefined;
let supervisor: Supervisor | undefined;

/**
 * Removes the variable: children of this process need not ask for the socket that it has. This
 * thread may ask again when it has closed it.
 */
export function keepFromChildren(): void {
  const name = variable();
  if (name === undefined) return;
  supervisorName = name;
  delete process.env[supervisorVariable];
}

function variable(): string | undefined {
  return permitted(() => process.env[supervisorVariable], undefined);
}

/** Whether a `reuseaddr run` has passed its socket to this thread on request. */
export function isSupervised(): boolean {
  return supervisor !== undefined;
}

/** Returns the socket of the `reuseaddr run` above this process, and the one to ask it for. */
export function questionFor(target: Target): { readonly name: string; readonly wanted: SocketIdentity } | undefined {
  const name = variable() ?? supervisorName;
  const wanted = name === undefined ? undefined : identityAt(target);
  return name === undefined || wanted === undefined ? undefined : { name, wanted };
}

/**
 * Asks the `reuseaddr run` above this process for its listening socket, if that is the socket of
 * the address.
 */
function* asking({ request: { terms }, target }: Attempt): Conversation<Answer> {
  const question = questionFor(target);
  if (question === undefined) return undefined;
  const { name, wanted } = question;
  const untilMs = nowMs() + answerMsMax;
  const connection = yield* connect(name, untilMs);
  if (failed(connection)) return 'unreachable';
  const answer = yield* ask(connection, wanted, terms.type ?? socketTypeDefault, untilMs);
  if (typeof answer === 'number') return accept(answer, connection);
  yield* sys.close(connection);
  if (answer === 'other-type') return refuseType(target);
  return typeof answer === 'object' ? refuseBusy(answer.busy, target) : answer;
}

/** Asks, and blocks this thread until the answer. */
export function askSupervisorNow(attempt: Attempt): Answer {
  const looking = (_fd: number, timeoutMs: number): 0 | Errno => kernel.sleep(Math.min(timeoutMs, lookMs));
  return run({ ...kernel, poll: looking }, asking(attempt));
}

/** Asks, and waits for the answer on a thread. Without a `run` above, returns at once. */
export function askSupervisor(attempt: Attempt, signal: AbortSignal | undefined): Answer | Promise<Answer> {
  return runPromptly(waitingKernel(signal), asking(attempt));
}

function* connect(name: string, untilMs: number): Conversation<number | Errno> {
  for (;;) {
    const connection = yield* talk.connect(name.replace(/^@/, '\0'));
    // Its queue is full, because other processes of this user ask as well.
    if (connection !== 'EAGAIN' || nowMs() > untilMs) return connection;
    yield* sys.sleep(lookMs);
  }
}

/** Returns the listening socket, or why it was not passed. */
function* ask(
  connection: number,
  wanted: SocketIdentity,
  type: SocketType,
  untilMs: number,
): Conversation<number | { readonly busy: number } | 'other-type' | Unpassed | undefined> {
  // A name in the environment may have become that of another user's socket.
  const peer = yield* talk.peerCredentials(connection);
  if (failed(peer) || (peer.uid !== 0 && peer.uid !== (yield* sys.geteuid()))) return 'unreachable';
  const name = Buffer.byteLength(wanted.name) > nameBytesMax ? '' : wanted.name;
  yield* talk.sendmsg(connection, format({ kind: 'ask', ...wanted, name }), []);
  for (let leftMs = answerMsMax; leftMs > 0; leftMs = untilMs - nowMs()) {
    const received = yield* receive(connection, leftMs);
    if (received === 'EAGAIN') continue;
    if (received === 'ETIMEDOUT') break;
    if (typeof received !== 'object') return 'unreachable';
    const { message, fds } = received;
    const [fd] = fds;
    const fit = message.kind === 'pass' && fd !== undefined ? fitOf(fd, wanted, type) : undefined;
    if (fd !== undefined && fit === 'wanted') return fd;
    yield* closeAll(fds);
    if (fit === 'other-type') return fit;
    if (message.kind !== 'decline') return 'unreachable';
    if (message.why === 'busy') return { busy: message.pid };
    return message.why === 'stranger' ? 'stranger' : undefined;
  }
  return 'late';
}

function fitOf(fd: number, wanted: SocketIdentity, type: SocketType): 'wanted' | 'other-type' | undefined {
  const socket = describeSocket(fd);
  if (failed(socket) || !isBoundTo(fd, socket.name, wanted)) return undefined;
  if (socket.type !== type) return 'other-type';
  return hasConnections(type) && !socket.listening ? undefined : 'wanted';
}

function accept(listenFd: number, connection: number): Passed {
  keepFromChildren();
  // It was blocking for programs without an event loop, see run/withSocket.ts.
  fcntl(listenFd, 'F_SETFL', 'O_NONBLOCK');
  supervisor?.close();
  supervisor = new Supervisor(connection);
  return { listenFd, supervisor };
}

function refuseBusy(pid: number, target: Target): Refusal {
  const path = 'abstract' in target ? undefined : target.place.path;
  const otherThread = pid === process.pid && supervisor?.has !== true;
  return { ...refuse(otherThread ? 'other-thread' : 'held', 'EADDRINUSE', 'listen', path), pid };
}

/** Each type of socket has abstract names of its own, so that of `run` is another address. */
function refuseType(target: Target): Refusal | undefined {
  return 'abstract' in target ? undefined : refuse('other-type', 'EADDRINUSE', 'listen', target.place.path);
}
