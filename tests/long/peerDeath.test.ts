import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { fixtureBeside } from '../support/program.js';

const program = fixtureBeside(import.meta.url, 'peer.mjs');

/**
 * More than a socket's buffers hold, on either family: most of it is still to be written when the
 * other end dies.
 */
const pendingBytes = 32 * 1024 * 1024;

interface Told {
  readonly event: string;
  readonly address?: object;
  readonly events?: readonly string[];
  readonly code?: string;
}

class Peer {
  readonly child: ChildProcess;
  readonly #told: Told[] = [];
  #heard: () => void = () => undefined;

  constructor(t: TestContext, role: string, family: string) {
    this.child = fork(program, [role, family]);
    this.child.on('message', (message) => {
      this.#told.push(message as Told);
      this.#heard();
    });
    t.after(() => this.child.kill('SIGKILL'));
  }

  tell(action: string, args: object = {}): void {
    this.child.send({ action, args });
  }

  /** Waits until it has told of this. */
  async told(event: string): Promise<Told> {
    for (;;) {
      const found = this.#told.findIndex((one) => one.event === event);
      if (found >= 0) return this.#told.splice(found, 1)[0]!;
      await new Promise<void>((heard) => (this.#heard = heard));
    }
  }

  async die(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }
}

type Family = 'unix' | 'tcp';
type Role = 'server' | 'client';

interface Case {
  readonly name: string;
  readonly allowHalfOpen?: boolean;
  /** Brings the two to where one of them is to die. */
  before(dies: Peer, lives: Peer): Promise<void>;
  /** The survivor's action after the other has died, if the events alone do not tell enough. */
  after?(lives: Peer): Promise<void>;
  /** The result of the survivor's own write is not compared. */
  readonly ignore?: boolean;
  /** The events of the survivor, in order, by family. */
  readonly expected: Readonly<Record<Family, readonly string[]>>;
}

const clean = ['end', 'finish', 'close'];
const reset = ['error ECONNRESET (read)', 'close after an error'];
const broken = ['write callback EPIPE', 'error EPIPE (write)', 'close after an error'];

const both = (events: readonly string[]): Case['expected'] => ({ unix: events, tcp: events });

/** The survivor writes more than the buffers hold, to one that doesn't read. */
async function pendingWrite(dies: Peer, lives: Peer): Promise<void> {
  dies.tell('pause');
  await dies.told('paused');
  lives.tell('write', { bytes: pendingBytes });
  await lives.told('asked');
}

const cases: readonly Case[] = [
  { name: 'idle', before: async () => undefined, expected: both(clean) },
  {
    name: 'idle, and the survivor writes before it has heard',
    before: async () => undefined,
    after: async (lives) => lives.tell('write', { bytes: 1 }),
    // The write's own fate is a race with the end; that the connection closes is none.
    ignore: true,
    expected: both(clean),
  },
  {
    name: 'the survivor has a write pending',
    before: pendingWrite,
    // Node calls the write back without an error: it has been destroyed by the read's.
    expected: both([reset[0]!, 'write callback', reset[1]!]),
  },
  {
    name: 'what the dead one had written is still to be read',
    async before(dies) {
      dies.tell('write', { bytes: 1000 });
      await dies.told('written');
    },
    expected: both(['data', ...clean]),
  },
  {
    name: 'the dead one had more to write than was read',
    async before(dies) {
      dies.tell('write', { bytes: pendingBytes });
      await dies.told('asked');
    },
    expected: both(['data', ...clean]),
  },
  {
    name: 'half-open, the survivor had ended',
    allowHalfOpen: true,
    async before(dies, lives) {
      lives.tell('end');
      await dies.told('end');
    },
    expected: both(['finish', 'end', 'close']),
  },
  {
    name: 'half-open, the survivor writes twice after the end of the dead one',
    allowHalfOpen: true,
    before: async () => undefined,
    async after(lives) {
      await lives.told('end');
      lives.tell('write', { bytes: 1 });
      const { code } = await lives.told('written');
      if (code === undefined) lives.tell('write', { bytes: 1 });
    },
    // TCP takes the first write for good, and it is lost; a Unix socket knows at once.
    expected: { unix: ['end', ...broken], tcp: ['end', 'write callback', ...broken] },
  },
];

async function eventsOf(t: TestContext, family: Family, dying: Role, one: Case): Promise<readonly string[]> {
  const path = `${temporaryDirectory(t)}/s`;
  const [server, client] = [new Peer(t, 'server', family), new Peer(t, 'client', family)];
  await Promise.all([server.told('ready'), client.told('ready')]);
  const { allowHalfOpen = false } = one;
  server.tell('listen', { path, allowHalfOpen });
  const { address } = await server.told('listening');
  client.tell('connect', { address, allowHalfOpen });
  await Promise.all([server.told('connected'), client.told('connected')]);
  const [dies, lives] = dying === 'server' ? [server, client] : [client, server];
  await one.before(dies, lives);
  await dies.die();
  await one.after?.(lives);
  const { events = [] } = await lives.told('close');
  return events;
}
for (const one of cases) {
  test(
    `SIGKILL of either end, ${one.name} → the other is told at once, by a Unix socket as by TCP or better`,
    onLinux,
    async (t) => {
      for (const family of ['unix', 'tcp'] as const) {
        for (const dying of ['server', 'client'] as const) {
          const events = await eventsOf(t, family, dying, one);
          const told = one.ignore === true ? events.filter((event) => !event.includes('write')) : events;
          if (one.ignore === true) assert.match(told.at(-1) ?? '', /^close/);
          else assert.deepEqual(told, one.expected[family], `${family}, the ${dying} died`);
          t.diagnostic(`${family.padEnd(4)} ${dying} killed: ${events.join(', ')}`);
        }
      }
    },
  );
}
