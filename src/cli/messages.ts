import { read, write } from 'node:fs';
import { createInterface } from 'node:readline';
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
  const done = answers ? Promise.race([printMessages(fd), sent.then(() => new Promise<never>(() => undefined))]) : sent;
  try {
    return await done.then(() => undefined, trouble);
  } finally {
    process.stdin.destroy();
    kernel.close(fd);
  }
}

async function sendLines(fd: number): Promise<void> {
  const send = promisify(write);
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    // An empty message would end a seqpacket connection for the reader.
    if (line !== '') await send(fd, Buffer.from(line));
  }
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
