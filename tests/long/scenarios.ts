import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import type { TestContext } from 'node:test';
import type { SocketType } from '#dist/address/socketType.js';
import { findListener, listeningInode } from '#dist/holder/find.js';
import { kernel } from '#dist/kernel/posix.js';
import { Program, fixtureBeside } from '../support/program.js';
import { until } from '../support/waits.js';

const program = fixtureBeside(import.meta.url, 'target.mjs');

/** The processes of a case, each started again when it has died, and used again when it has not. */
export class Cast {
  readonly #t: TestContext;
  readonly #spare: string;
  readonly #programs = new Map<string, Program>();

  constructor(t: TestContext, spareDirectory: string) {
    this.#t = t;
    this.#spare = spareDirectory;
  }

  async get(role: string): Promise<Program> {
    const present = this.#programs.get(role);
    if (present !== undefined && !present.ended) return present;
    const started = await Program.start(this.#t, { program, quiet: true });
    await started.ask('warmUp', { address: `${this.#spare}/${started.pid}.sock` });
    this.#programs.set(role, started);
    return started;
  }

  async end(): Promise<void> {
    await Promise.all([...this.#programs.values()].map((one) => one.kill()));
  }
}

export interface Stage {
  readonly cast: Cast;
  readonly directory: string;
  readonly address: string;
  /** A live socket of another program that must be there all the time. */
  stray?: net.Server;
  /** Fulfilled when the holder has handed over. */
  left?: Promise<unknown>;
}

/**
 * One thing that processes do to an address, in which one of them is killed, or has a call fail.
 */
export interface Scenario {
  readonly name: string;
  /** Whom strace is attached to. */
  readonly victim: 'starter' | 'holder' | 'newcomer';
  readonly address?: (directory: string) => string;
  /** The type of the socket that is claimed: a stream, of a server, unless said. */
  readonly type?: SocketType;
  /** The preparation. None of it is in the window. */
  prepare(stage: Stage): Promise<void>;
  act(stage: Stage): Promise<unknown>;
  /** Calls of other processes are neither recorded nor failed. */
  readonly killsOnly?: boolean;
  /** Ends what the victim has left running: a program that it had started serves on without it. */
  readonly cleanUp?: (stage: Stage) => Promise<void>;
  /** The process at the other end, which may have the claim afterwards. */
  readonly partner?: 'holder' | 'newcomer';
}

const longName = (directory: string): string => `${directory}/${'d'.repeat(90)}/app.sock`;

/** A dead socket at a path, as a crash leaves it. */
function deadSocket(path: string, type?: SocketType): void {
  const fd = kernel.socket(type);
  if (typeof fd === 'string') throw new Error(fd);
  kernel.bind(fd, path);
  kernel.close(fd);
}

/** A program that listens without reuseaddr. */
async function stray(stage: Stage): Promise<void> {
  stage.stray = net.createServer((connection) => connection.on('error', () => undefined).end('stray')).listen(stage.address);
  await once(stage.stray, 'listening');
}

const start = async ({ cast, address }: Stage, args: object = {}): Promise<unknown> =>
  (await cast.get('starter')).ask('window', { action: 'listen', args: { address, ...args } });

const serving = async ({ cast, address }: Stage, type?: SocketType): Promise<void> =>
  (await cast.get('holder')).ask('listen', { address, options: { type, handover: true } });

const takeOver = async ({ cast, address }: Stage, type?: SocketType): Promise<unknown> =>
  (await cast.get('newcomer')).ask('window', {
    action: 'listen',
    args: { address, options: { type, takeover: true, handover: true } },
  });

/**
 * A program that does nothing with its socket, and that can be told from all others by its command
 * line.
 */
const programOf = ({ directory }: Stage): readonly string[] => [
  'sleep',
  `100000${directory.slice(directory.lastIndexOf('/') + 1)}`,
];

function instances(stage: Stage): number[] {
  const wanted = `${programOf(stage).join('\0')}\0`;
  return fs
    .readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && commandLine(pid) === wanted);
}

function commandLine(pid: number): string | undefined {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return undefined; // It has ended.
  }
}

async function runs(stage: Stage): Promise<void> {
  const { cast, address, directory } = stage;
  const victim = await cast.get('starter');
  await victim.ask('run', {
    operands: [address, ...programOf(stage)],
    options: { restart: 'always', 'ready-after': '0' },
    temporary: abandonedBefore(directory),
  });
  await until(() => victim.ended || instances(stage).length > 0);
}

/**
 * A directory for temporary files in which an earlier run was killed. In a shared one, the number
 * of calls would depend on which of the other runs were.
 */
function abandonedBefore(directory: string): string {
  const temporary = `${directory}.tmp`;
  for (const purpose of ['notify', 'run']) {
    fs.mkdirSync(`${temporary}/reuseaddr-${purpose}-killed`, { recursive: true });
    deadSocket(`${temporary}/reuseaddr-${purpose}-killed/socket`);
  }
  return temporary;
}

async function endRun(stage: Stage): Promise<void> {
  const victim = await stage.cast.get('starter');
  await victim.kill();
  // A child that is not the program yet, between fork(2) and execve(2), has the socket too.
  await until(() => {
    const left = [...instances(stage), findListener(stage.address)?.pid];
    for (const pid of left) if (pid !== undefined) end(pid);
    return instances(stage).length === 0 && listeningInode(stage.address) === undefined;
  });
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'reuseaddr run, from its start until the program runs',
    victim: 'starter',
    killsOnly: true,
    prepare: async ({ address }) => deadSocket(address),
    async act(stage) {
      await runs(stage);
      await (await stage.cast.get('starter')).ask('endWindow');
    },
    cleanUp: endRun,
  },
  {
    name: 'reuseaddr run, while it starts its program again',
    victim: 'starter',
    killsOnly: true,
    prepare: runs,
    async act(stage) {
      const victim = await stage.cast.get('starter');
      await victim.ask('beginWindow');
      const before = instances(stage);
      for (const pid of before) process.kill(pid, 'SIGKILL');
      await until(() => victim.ended || instances(stage).some((pid) => !before.includes(pid)));
      await victim.ask('endWindow');
    },
    cleanUp: endRun,
  },
  { name: 'start on a free path', victim: 'starter', prepare: async () => undefined, act: start },
  {
    name: 'start over a stale socket',
    victim: 'starter',
    prepare: async ({ address }) => deadSocket(address),
    act: start,
  },
  {
    name: 'start over what a crash left aside, with handovers served',
    victim: 'starter',
    async prepare({ directory, address }) {
      deadSocket(`${directory}/.reuseaddr-aside.app.sock`);
      deadSocket(`${address}.handover`);
    },
    act: async (stage) => start(stage, { options: { handover: true } }),
  },
  {
    name: 'start on a long path, with a mode that the umask narrows, and a group',
    victim: 'starter',
    address: longName,
    prepare: async ({ directory }) => fs.mkdirSync(`${directory}/${'d'.repeat(90)}`),
    act: async (stage) => start(stage, { umask: 0o777, options: { mode: 0o660, group: 0 } }),
  },
  {
    name: 'start where a stray listens',
    victim: 'starter',
    prepare: stray,
    act: start,
  },
  {
    name: 'start where a crash set a live stray aside',
    victim: 'starter',
    async prepare(stage) {
      await stray(stage);
      fs.renameSync(stage.address, `${stage.directory}/.reuseaddr-aside.app.sock`);
    },
    act: start,
  },
  ...served(),
  ...(['datagram', 'seqpacket'] as const).flatMap((type): Scenario[] => [
    {
      name: `start of a ${type} socket over a stale stream socket`,
      victim: 'starter',
      type,
      prepare: async ({ address }) => deadSocket(address),
      act: async (stage) => start(stage, { options: { type } }),
    },
    ...served(type),
  ]),
];

/** The work of a holder that serves handovers. */
function served(type?: SocketType): Scenario[] {
  const [of, typed] = type === undefined ? ['', {}] : [` of a ${type} socket`, { type }];
  return [
    {
      name: `release${of}`,
      victim: 'holder',
      ...typed,
      prepare: async (stage) => serving(stage, type),
      act: async ({ cast }) => (await cast.get('holder')).ask('window', { action: 'release' }),
    },
    {
      name: `handover${of}, the old side`,
      victim: 'holder',
      partner: 'newcomer',
      ...typed,
      async prepare(stage) {
        await serving(stage, type);
        await stage.cast.get('newcomer');
        // Asked now, so that no other message comes in the window. A process that was killed
        // answers too: that it has ended.
        const left = (await stage.cast.get('holder')).ask('left').catch(() => undefined);
        stage.left = left;
      },
      async act(stage) {
        await takeOver(stage, type);
        await stage.left;
      },
    },
    {
      name: `handover${of}, the new side`,
      victim: 'newcomer',
      partner: 'holder',
      ...typed,
      prepare: async (stage) => serving(stage, type),
      act: async (stage) => takeOver(stage, type),
    },
  ];
}
