import { read, write } from 'node:fs';
import { promisify } from 'node:util';
import { fcntl, shutdown } from '../kernel/descriptors.js';
import { kernel } from '../kernel/posix.js';

/** The greatest length of a message that is printed. A longer one is cut. */
const messageBytesMax = 1024 * 1024;

/**
 * Sends each line of stdin as a message. If the other end answers, prints each of its messages as a
 * line until it closes. Returns the error, if there was one.
 *
 * The calls wait in libuv's threads: read(2) and write(2) keep the borders of messages.
 */
export async function converseInMessages(fd: number, answers: boolean): Promise<string | undefined> {
  fcntl(fd, 'F_SETFL', '');
  // The reader of the answers is gone.
  process.stdout.once('error', () => shutdown(fd, 'SHUT_RDWR'));
  const trouble = (error: NodeJS.ErrnoException): string => error.message;
  const sent = sendLines(fd).then(() => void (answers && shutdown(fd, 'SHUT_WR')));
  const printed = answers ? printMessages(fd) : sent;
  const done = answers ? Promise.race([printed, sent.then(() => printed)]) : sent;
  try {
    return await done.then(() => undefined, trouble);
  } finally {
    process.stdin.destroy();
    // A close would leave a thread in read(2) or write(2), and that keeps the process alive.
    shutdown(fd, 'SHUT_RDWR');
    await Promise.allSettled([sent, printed]);
    kernel.close(fd);
  }
}

async function sendLines(fd: number): Promise<void> {
  const send = promisify(write);
  // An empty message would end a seqpacket connection for the reader.
  for await (const line of linesOf(process.stdin)) if (line.length > 0) await send(fd, line);
}

/** Splits bytes, which need not be text. A line ends with LF or CRLF. */
async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let begun: Buffer[] = [];
  for await (const chunk of input) {
    let start = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
      yield withoutReturn(Buffer.concat([...begun, chunk.subarray(start, end)]));
      begun = [];
      start = end + 1;
    }
    begun.push(chunk.subarray(start));
  }
  yield withoutReturn(Buffer.concat(begun));
}

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === 0x0d ? line.subarray(0, -1) : line;
}

async function printMessages(fd: number): Promise<void> {
  const receive = promisify(read);
  const room = Buffer.alloc(messageBytesMax);
  for (;;) {
    const { bytesRead } = await receive(fd, room, 0, room.length, null);
    if (bytesRead === 0) return;
    process.stdout.write(Buffer.concat([room.subarray(0, bytesRead), Buffer.from('\n')]));
  }
}
