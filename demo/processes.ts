/**
 * The processes of the demo. Each reports by message when it is ready: nothing here sleeps or
 * guesses.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { FromClient, FromServer, Options, Scheme, ToClient, ToServer } from './messages.js';

const running = new Set<ChildProcess>();
let started = 0;

export function processesStarted(): number {
  return started;
}

/** Ends every remaining process by `kill -9`. */
export function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

function start(program: 'server' | 'client', args: readonly string[]): ChildProcess {
  // Without the options of the demo's own process: no inspector, no preload.
  return track(fork(fileURLToPath(new URL(`fixtures/${program}.js`, import.meta.url)), args, { execArgv: [] }));
}

/** Registers a child, which ends with the demo. */
export function track(child: ChildProcess): ChildProcess {
  started += 1;
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Returns the next message of a child. Fails if the child ends without one. */
function nextMessage(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown): void => {
      child.off('exit', onExit);
      resolve(message);
    };
    const onExit = (status: number | null, signal: string | null): void => {
      child.off('message', onMessage);
      reject(
        new Error(`process ${child.pid} (${child.spawnargs.slice(1).join(' ')}) ended without a word (${status ?? signal})`),
      );
    };
    child.once('message', onMessage);
    child.once('exit', onExit);
  });
}

/**
 * The clients, as many as ever ask at once. Each is a process that lives as long as the demo, and
 * makes a new connection for each question.
 */
const clients: ChildProcess[] = [];

/**
 * Returns which process answers each of several clients that ask at once, or undefined for a client
 * without an answer.
 */
export async function whoAnswersAll(address: string, clientsCount: number): Promise<(number | undefined)[]> {
  while (clients.length < clientsCount) clients.push(start('client', []));
  return await Promise.all(clients.slice(0, clientsCount).map((client) => ask(client, address)));
}

/** Returns which process answers a client here, or undefined if none does. */
export async function whoAnswers(address: string): Promise<number | undefined> {
  return (await whoAnswersAll(address, 1))[0];
}

async function ask(client: ChildProcess, address: string): Promise<number | undefined> {
  const answer = nextMessage(client);
  client.send({ ask: address } satisfies ToClient);
  const heard = (await answer) as FromClient;
  return 'answeredBy' in heard ? heard.answeredBy : undefined;
}

const loadClients = 3;

/** Clients that send requests without a pause. */
export class Load {
  readonly #clients = Array.from({ length: loadClients }, () => start('client', []));

  constructor(address: string) {
    for (const client of this.#clients) client.send({ load: address } satisfies ToClient);
  }

  async stop(): Promise<{ answered: number; failed: number }> {
    const counts = await Promise.all(this.#clients.map((client) => stopLoad(client)));
    const sum = (of: 'answered' | 'failed'): number => counts.reduce((total, count) => total + count[of], 0);
    return { answered: sum('answered'), failed: sum('failed') };
  }
}

async function stopLoad(client: ChildProcess): Promise<{ answered: number; failed: number }> {
  const count = nextMessage(client);
  client.send('stop' satisfies ToClient);
  const counted = await count;
  client.disconnect();
  return counted as { answered: number; failed: number };
}

/** A server that is starting, and the result of its start. */
export class ServerProcess {
  readonly #child: ChildProcess;
  /** Whether the scheme has looked and waits; otherwise the result of its start. */
  state: FromServer = { is: 'there' };

  /** Fulfilled when the process has ended. */
  readonly ended: Promise<unknown>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.ended = once(child, 'exit');
  }

  /** Starts a server to the end: it serves, or is refused. */
  static async start(scheme: Scheme, address: string, options: Options = {}): Promise<ServerProcess> {
    const server = await ServerProcess.startAndLook(scheme, address, options);
    await server.goOn();
    return server;
  }

  /** Starts a server, and stops it between its look and its deed. */
  static async startAndLook(scheme: Scheme, address: string, options: Options = {}): Promise<ServerProcess> {
    const server = new ServerProcess(start('server', [scheme, address, JSON.stringify(options)]));
    server.state = await server.#hear();
    return server;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get serves(): boolean {
    return this.state.is === 'serving';
  }

  /** Why it was refused; undefined if it was not. */
  get refusal(): Extract<FromServer, { is: 'refused' }> | undefined {
    return this.state.is === 'refused' ? this.state : undefined;
  }

  async goOn(): Promise<void> {
    if (this.state.is !== 'looked') return;
    const next = this.#hear();
    this.#say('go on');
    this.state = await next;
  }

  /** Whether the process still runs and responds, even if clients cannot reach it. */
  async isAlive(): Promise<boolean> {
    if (!this.#child.connected) return false;
    const answer = this.#hear();
    this.#say('are you there?');
    return (await answer).is === 'there';
  }

  /** Ends the process by `kill -9`, and waits for its end. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }

  /** Makes the process close its server and end. */
  async stop(): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#say('stop');
    await exit;
  }

  async #hear(): Promise<FromServer> {
    return (await nextMessage(this.#child)) as FromServer;
  }

  #say(message: ToServer): void {
    this.#child.send(message);
  }
}
