import { writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { hasConnections, socketTypeDefault, socketTypes } from '../address/socketType.js';
import { connect, connectDescriptor } from '../client/connect.js';
import { show } from '../errors/show.js';
import { descriptorOf } from '../kernel/descriptors.js';
import { UsageError, type Command } from './command.js';
import { converseInMessages } from './messages.js';
import { readType } from './readType.js';
import { status } from './status.js';

export const command: Command = {
  name: 'connect',
  operands: 'ADDRESS',
  operandsMin: 1,
  operandsMax: 1,
  description: `Connects stdin and stdout to a server, like nc -U. The end of stdin closes our half of the
connection; the rest of the answer is still printed. The command ends when both halves are closed.
Unlike nc, it supports exact abstract names and long paths.

With --type, each line of stdin is sent as one message, without its line break. A seqpacket socket
answers in messages, each of which is printed as a line; a datagram socket does not answer.`,
  statuses: '0 done, 1 no connection, or a broken one, 2 wrong usage',
  options: {
    type: { value: 'TYPE', values: socketTypes, summary: 'type of the socket: stream (default), datagram or seqpacket' },
    wait: {
      value: 'SECONDS',
      valueIsOptional: true,
      summary: 'wait for a server that is missing or busy; indefinitely without SECONDS',
    },
  },
  examples: [
    ["echo 'PING' | reuseaddr connect /run/app.sock", 'ask, and print the answer'],
    ['reuseaddr connect --wait=10 @app', 'wait for an abstract name'],
    ['echo hello | reuseaddr connect --type=datagram /run/log.sock', 'send a datagram for each line'],
    ['reuseaddr connect --wait /run/app.sock </dev/null', 'only wait until a server accepts'],
  ],
  async run({ operands: [address = ''], options, terminal }) {
    const timeout = timeoutMs(options['wait']);
    const type = readType(options['type']) ?? socketTypeDefault;
    const trouble =
      type === socketTypeDefault
        ? await converse(await connect(address, { timeout, allowHalfOpen: true }))
        : await converseInMessages(await connectDescriptor(address, timeout, type), hasConnections(type));
    if (trouble === undefined) return status.done;
    terminal.complain(`The connection to ${show(address)} broke: ${trouble}.`);
    return status.failed;
  },
};

function timeoutMs(wait: string | boolean | undefined): number {
  if (wait === undefined) return 0;
  if (wait === '') return Infinity;
  const seconds = Number(wait);
  if (!(seconds >= 0) || String(wait).trim() === '')
    throw new UsageError(`--wait takes a number of seconds, not '${show(String(wait))}'`);
  return seconds * 1000;
}

/** Copies in both directions until both have ended. Returns the error, if there was one. */
function converse(socket: Socket): Promise<string | undefined> {
  const { stdin, stdout } = process;
  return new Promise((resolve) => {
    let trouble: string | undefined;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      trouble = error.code === 'EPIPE' ? 'the server closed it before it had all of the input' : error.message;
    });
    socket.on('close', () => {
      // A terminal, or a pipe whose writer lives on, would keep this process alive.
      stdin.unpipe(socket);
      stdin.destroy();
      resolve(trouble);
    });
    socket.on('end', () => {
      if (!stdin.readableEnded && isClosed(socket)) socket.destroy();
    });
    // The reader of the server's output is gone.
    stdout.on('error', () => socket.destroy());
    stdin.on('error', () => socket.end());
    stdin.pipe(socket);
    socket.on('data', (chunk) => {
      if (!stdout.write(chunk)) socket.pause();
    });
    stdout.on('drain', () => socket.resume());
  });
}

/**
 * Whether the other end is closed altogether, or has only ended its half and still reads. Node does
 * not tell. The kernel answers an empty write with EPIPE if no process can read any more, and sends
 * nothing.
 */
function isClosed(socket: Socket): boolean {
  try {
    writeSync(descriptorOf(socket), new Uint8Array(0));
    return false;
  } catch {
    return true;
  }
}
