import { format } from '../handover/message.js';
import { Descriptor } from '../kernel/descriptor.js';
import { kernel } from '../kernel/posix.js';

/**
 * The connection over which `reuseaddr run` has passed its socket. It stays open until the thread
 * ends: `run` takes its end for the end of the program.
 */
export class Supervisor {
  readonly #connection: Descriptor | undefined;
  /** Whether this thread has the socket, and has not closed it. */
  #has = true;

  constructor(connection: number) {
    this.#connection = Descriptor.at(connection);
  }

  get has(): boolean {
    return this.#has;
  }

  /** Says that this process accepts. */
  ready(): void {
    this.#tell('ready');
  }

  /** Says that this process has closed the socket: another one of the program may have it. */
  done(): void {
    this.#has = false;
    try {
      this.#tell('done');
    } catch (error) {
      // To `run`, its end says the same.
      this.close();
      throw error;
    }
  }

  #tell(kind: 'ready' | 'done'): void {
    const connection = this.#connection;
    if (connection?.isOpen === true) kernel.sendmsg(connection.fd, format({ kind }), []);
  }

  /** Ends a connection that another one has replaced. */
  close(): void {
    this.#connection?.close();
  }
}
