import { sys, talk, type Conversation, type Errno } from '../kernel/kernel.js';

/**
 * The messages of a handover, one line each: `reuseaddr 1 offer 64768 1234`. A peer that speaks
 * another version is refused, and gets an ordinary EADDRINUSE.
 */
export type Message =
  /**
   * Newcomer to holder, at once: hand over to me. A peer that stays silent, or sends anything else,
   * receives nothing.
   */
  | { readonly kind: 'request' }
  /**
   * Holder to newcomer, with the descriptors: this is the claim, and this is the file that its
   * socket is bound to.
   */
  | { readonly kind: 'offer'; readonly dev: bigint; readonly ino: bigint }
  /** Newcomer to holder: I have everything, and I am accepting. */
  | { readonly kind: 'ready' }
  /** Holder to newcomer: I have closed my share. You are the holder. */
  | { readonly kind: 'done' }
  /**
   * Holder to newcomer: I take the offer back. Close what you were given, and then the connection.
   */
  | { readonly kind: 'abort' }
  /**
   * Program to the `reuseaddr run` above it: pass me your listening socket, if it is this one.
   * The answer is `pass` or `refuse`. Later the program says `ready` when it accepts, and `done`
   * when it has closed the socket.
   */
  | ({ readonly kind: 'ask' } & SocketIdentity)
  /** With the descriptor. */
  | { readonly kind: 'pass' }
  /** `busy`: this other process below the same instance has the socket. */
  | { readonly kind: 'decline'; readonly why: 'other-address' | 'stranger' }
  | { readonly kind: 'decline'; readonly why: 'busy'; readonly pid: number };

/** An address as another process can compare it with its own socket. */
export interface SocketIdentity {
  /** The file at the path. Zeros for an abstract name. */
  readonly dev: bigint;
  readonly ino: bigint;
  /** The path, or a NUL and the abstract name. */
  readonly name: string;
}

const prefix = 'reuseaddr 1';

/** Longer than any message that is received here. */
const messageBytesMax = 128;

/** Lock, listening socket, handover socket. */
const descriptorsMax = 3;

export function format(message: Message): string {
  return `${prefix} ${message.kind}${details(message)}\n`;
}

function details(message: Message): string {
  if (message.kind === 'offer') return ` ${message.dev} ${message.ino}`;
  if (message.kind === 'ask') return ` ${message.dev} ${message.ino} ${Buffer.from(message.name).toString('base64url')}`;
  if (message.kind !== 'decline') return '';
  return message.why === 'busy' ? ` busy ${message.pid}` : ` ${message.why}`;
}

export function parse(line: string): Message | undefined {
  const [, kind = '', rest] = /^reuseaddr 1 ([a-z]+)(?: (.*))?$/.exec(line) ?? [];
  if (rest === undefined) return isPlain(kind) ? { kind } : undefined;
  if (kind === 'decline') return parseDecline(rest);
  const [, dev, ino, name] = /^(\d{1,20}) (\d{1,20})(?: ([\w-]*))?$/.exec(rest) ?? [];
  if (dev === undefined || ino === undefined) return undefined;
  const file = { dev: BigInt(dev), ino: BigInt(ino) };
  if (kind === 'offer') return name === undefined ? { kind, ...file } : undefined;
  if (kind !== 'ask' || name === undefined) return undefined;
  return { kind, ...file, name: Buffer.from(name, 'base64url').toString() };
}

type Plain = 'request' | 'ready' | 'done' | 'abort' | 'pass';

/** Whether a message of this kind is a single word. */
function isPlain(kind: string): kind is Plain {
  return kind === 'request' || kind === 'ready' || kind === 'done' || kind === 'abort' || kind === 'pass';
}

function parseDecline(text: string): Message | undefined {
  const kind = 'decline';
  if (text === 'other-address' || text === 'stranger') return { kind, why: text };
  const pid = /^busy (\d{1,10})$/.exec(text)?.[1];
  return pid === undefined ? undefined : { kind, why: 'busy', pid: Number(pid) };
}

/** The result of a read from the connection. */
export type Received =
  | { readonly message: Message; readonly fds: readonly number[] }
  /** The other end has closed: it died, or was told to close. */
  | 'closed'
  /** Not a message. Descriptors that came with it are closed again. */
  | 'garbage'
  | Errno;

/** Waits for a message. `ETIMEDOUT` after `timeoutMs`. */
export function* receive(fd: number, timeoutMs: number): Conversation<Received> {
  const ready = yield* talk.poll(fd, timeoutMs);
  if (ready === 0) return yield* receiveNow(fd);
  if (ready === 'ETIMEDOUT' || ready === 'ECANCELED') return ready;
  // There is no thread to wait on (RLIMIT_NPROC, pids.max), perhaps permanently. Data that has
  // already come can still be read.
  const received = yield* receiveNow(fd);
  return received === 'EAGAIN' ? ready : received;
}

/** Reads a message without waiting. `EAGAIN`: there is none. */
export function* receiveNow(fd: number): Conversation<Received> {
  const received = yield* talk.recvmsg(fd, messageBytesMax, descriptorsMax);
  if (received === 'ECONNRESET') return 'closed';
  if (received === 'EMSGSIZE') return 'garbage';
  if (typeof received === 'string') return received;
  if (received.text === '') {
    yield* closeAll(received.fds);
    return 'closed';
  }
  // Each message is sent in one piece, and a stream of so few bytes is not split.
  const message = received.text.endsWith('\n') ? parse(received.text.slice(0, -1)) : undefined;
  if (message !== undefined) return { message, fds: received.fds };
  yield* closeAll(received.fds);
  return 'garbage';
}

/** Closes each, even if it throws at an earlier one. */
export function* closeAll([fd, ...others]: readonly number[]): Conversation<void> {
  if (fd === undefined) return;
  try {
    yield* sys.close(fd);
  } finally {
    yield* closeAll(others);
  }
}
