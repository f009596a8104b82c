import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { format, parse, type Message } from '../handover/message.js';
import { kernel, signalPeer } from '../kernel/posix.js';

/** Longer than any line of a program. */
const lineCharactersMax = 8192;

type Declined = Extract<Message, { kind: 'decline' }>;

/**
 * A process that asks for the listening socket. Once it has been passed the socket, its connection
 * lasts as long as the process.
 */
export class Descendant {
  readonly pid: number;
  /** Fulfilled when it has closed its connection, or was disconnected. */
  readonly ended: Promise<void>;
  /** It stops already: a second signal may mean "at once" to it. */
  stops = false;
  readonly #socket: Socket;
  readonly #connection: number;
  #hasSocket = false;
  #ended = false;
  #end!: () => void;

  constructor(socket: Socket, connection: number, pid: number) {
    this.pid = pid;
    this.#socket = socket;
    this.#connection = connection;
    socket.on('error', () => undefined).unref();
    this.ended = new Promise((resolve) => {
      this.#end = () => {
        this.#ended = true;
        resolve();
      };
    });
    // At once: `close` comes some turns later, and the next process may have asked by then.
    socket.once('end', this.#end).once('close', this.#end);
  }

  /** Whether it was passed the socket, and has not closed it. */
  get hasSocket(): boolean {
    return this.#hasSocket;
  }

  /** Passes each message to `heard`. A process that says anything else is disconnected. */
  hear(heard: (message: Message) => void): void {
    let text = '';
    this.#socket.setEncoding('utf8').on('data', (more: string) => {
      const lines = `${text}${more}`.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) {
        const message = parse(line);
        if (message === undefined) return this.disconnect();
        heard(message);
      }
      if (text.length > lineCharactersMax) this.disconnect();
    });
  }

  /**
   * Sends the socket to a process that exists, without waiting. Returns whether it is on its way.
   */
  pass(listenFd: number): boolean {
    const text = format({ kind: 'pass' });
    this.#hasSocket = kernel.sendmsg(this.#connection, text, [listenFd]) === text.length;
    return this.#hasSocket;
  }

  decline(answer: Omit<Declined, 'kind'> & { readonly pid?: number }): void {
    this.#socket.end(format({ kind: 'decline', ...answer } as Declined));
  }

  /** It has closed the socket, and continues. */
  done(): void {
    this.#hasSocket = false;
  }

  /** Closes the connection, whose number may be that of another one from now on. */
  disconnect(): void {
    this.#end();
    this.#socket.destroy();
  }

  /** Whether the process that made the connection exists, so that its pid is not another's. */
  get exists(): boolean {
    return !this.#ended && signalPeer(this.#connection, 0) !== 'ESRCH';
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#ended) return;
    if (signalPeer(this.#connection, constants.signals[signal]) !== 'ENOSYS') return;
    try {
      process.kill(this.pid, signal);
    } catch {
      // It has ended, or belongs to another user by now.
    }
  }
}
