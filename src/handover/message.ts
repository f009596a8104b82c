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
  | { readonly kind: 'abort' };

const prefix = 'reuseaddr 1';

/** Longer than any message. */
const messageBytesMax = 128;

/** Lock, listening socket, handover socket. */
const descriptorsMax = 3;

export function format(message: Message): string {
  return message.kind === 'offer' ? `${prefix} offer ${message.dev} ${message.ino}\n` : `${prefix} ${message.kind}\n`;
}

export function parse(line: string): Message | undefined {
  const [, kind, numbers] = /^reuseaddr 1 (request|offer|ready|done|abort)(?: (.*))?$/.exec(line) ?? [];
  if (kind === 'offer') {
    const [, dev, ino] = /^(\d{1,20}) (\d{1,20})$/.exec(numbers ?? '') ?? [];
    return dev === undefined || ino === undefined ? undefined : { kind, dev: BigInt(dev), ino: BigInt(ino) };
  }
  if (numbers !== undefined) return undefined;
  return kind === 'request' || kind === 'ready' || kind === 'done' || kind === 'abort' ? { kind } : undefined;
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
