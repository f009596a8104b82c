import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { kernel } from '#dist/kernel/posix.js';
import { inspect, listen } from 'reuseaddr';
import { leftOpen } from '../support/directory.js';
import { fixtureBeside } from '../support/program.js';
import { Random } from './random.js';
import { Actor, type ActorMessage } from './soakActor.js';
import { violations, type Attempt, type Look } from './soakCheck.js';

const observerProgram = fixtureBeside(import.meta.url, 'observer.mjs');

const actorsPerArena = 3;

/** Every wait and every take-over has a deadline that is far shorter: who is not done by then never will be. */
const hangMs = 30_000;
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

export interface Counts {
  rounds: number;
  operations: number;
  acquired: number;
  handedOver: number;
  kills: number;
  stops: number;
  looks: number;
  answered: number;
}

/** A guarantee was broken. The message has the round's whole timeline. */
export class SoakFailed extends Error {}

/** One address, the processes that want it, and the observer. */
class Arena {
  readonly #address: string;
  readonly #directory: string | undefined;
  readonly #seed: number;
  readonly #random: Random;
  readonly #counts: Counts;
  readonly #observer: ChildProcess;
  readonly #actors: Actor[] = [];
  #attempts = new Map<string, Attempt & { actor: Actor }>();
  #timeline: { at: number; text: string }[] = [];
  #disturbances: number[] = [];
  #displaced: string[] = [];
  #looks: Look[] = [];
  #heard: () => void = () => undefined;
  #made = 0;

  constructor(address: string, directory: string | undefined, seed: number, random: Random, counts: Counts) {
    this.#seed = seed;
    this.#address = address;
    this.#directory = directory;
    this.#random = random;
    this.#counts = counts;
    this.#observer = fork(observerProgram, [address]);
    if (directory !== undefined) fs.writeFileSync(`${directory}/keep.sock`, 'keep me');
  }

  #note(at: number, text: string): void {
    this.#timeline.push({ at, text });
  }

  #hear(actor: Actor, message: ActorMessage): void {
    const { at, event, attempt: id } = message;
    if (event !== 'ready') this.#note(at, `${actor.pid} says: ${event} ${id} ${message.reason ?? message.what ?? ''}`);
    const attempt = id === undefined ? undefined : this.#attempts.get(id);
    if (attempt !== undefined) {
      if (event === 'acquired') {
        attempt.acquired = at;
        this.#counts.acquired++;
      } else if (event === 'refused')
        attempt.refused = { code: message.code ?? '', reason: message.reason ?? '', message: message.message ?? '' };
      else if (event === 'releasing') endAt(attempt, at, 'releasing');
      else if (event === 'released') attempt.released = true;
      else if (event === 'handed over') {
        endAt(attempt, at, 'handed over');
        this.#counts.handedOver++;
      } else if (event === 'displaced') this.#displaced.push(`${id} was displaced: ${message.what}`);
    }
    this.#heard();
  }

  async round(): Promise<void> {
    this.#attempts = new Map();
    this.#timeline = [];
    this.#disturbances = [];
    this.#displaced = [];
    this.#looks = [];
    await this.#fill();
    this.#observer.send('start');
    const looks = this.#collectLooks();
    const operations = 6 + this.#random.below(14);
    for (let i = 0; i < operations; i++) {
      await this.#operate();
      // So long as nobody says anything, a moment: what happens in it is up to chance.
      await Promise.race([new Promise<void>((heard) => (this.#heard = heard)), pause(this.#random.below(12))]);
    }
    await this.#settle();
    this.#observer.send('stop');
    await looks;
    await this.#fresh();
    this.#counts.rounds++;
    this.#counts.looks += this.#looks.length;
    this.#counts.answered += this.#looks.filter(({ said }) => said !== undefined).length;
    const attempts = [...this.#attempts.values()];
    const found = violations({ attempts, looks: this.#looks, disturbances: this.#disturbances, displaced: this.#displaced });
    if (found.length > 0) this.#fail(found);
  }

  async #collectLooks(): Promise<void> {
    for (;;) {
      const [message] = (await once(this.#observer, 'message')) as [{ looks?: Look[]; stopped?: boolean }];
      if (message.looks !== undefined) this.#looks.push(...message.looks);
      if (message.stopped === true) return;
    }
  }

  async #fill(): Promise<void> {
    for (let i = 0; i < actorsPerArena; i++) {
      if (this.#actors[i]?.dead === false) continue;
      const actor = (this.#actors[i] = new Actor(
        (from, message) => this.#hear(from, message),
        ({ pid }, text) => this.#note(now(), `${pid} printed: ${text}`),
      ));
      await actor.ready;
    }
  }

  async #operate(): Promise<void> {
    this.#counts.operations++;
    const actor = this.#random.pick(this.#actors);
    if (actor.dead) return this.#fill();
    const choice = this.#random.below(100);
    if (choice < 24) this.#attempt(actor, 'start', { handover: true });
    else if (choice < 40) this.#attempt(actor, 'standby', { handover: true, wait: true }, 20 + this.#random.below(400));
    else if (choice < 62) this.#attempt(actor, 'takeover', { handover: true, takeover: 2000 });
    else if (choice < 72) this.#release();
    else if (choice < 82) this.#kill(actor);
    else if (choice < 88) this.#stop(actor);
    else if (choice < 92) this.#clean();
    else if (choice < 96) this.#stray(actor);
    else actor.ask('chdir', { path: this.#random.pick(['/', '/tmp', this.#directory ?? '/']) });
  }

  #attempt(actor: Actor, kind: Attempt['kind'], options: object, waitMs?: number): void {
    const id = `${actor.pid}.${this.#made++}`;
    this.#attempts.set(id, { id, kind, pid: actor.pid, actor });
    this.#note(now(), `${actor.pid} is to ${kind}: ${id}`);
    // By a relative path now and then: another chdir follows.
    const relative = this.#directory !== undefined && this.#random.below(3) === 0;
    const address = relative ? `./${this.#address.slice(this.#address.lastIndexOf('/') + 1)}` : this.#address;
    actor.ask('listen', { address, attempt: id, options, waitMs, cwd: relative ? this.#directory : undefined });
  }

  #release(): void {
    const holders = [...this.#attempts.values()].filter(({ acquired, end }) => acquired !== undefined && end === undefined);
    if (holders.length === 0) return;
    const { id, actor } = this.#random.pick(holders);
    this.#note(now(), `${actor.pid} is to release ${id}`);
    actor.ask('release', { attempt: id });
  }

  #kill(actor: Actor): void {
    const at = now();
    this.#disturbances.push(at);
    this.#note(at, `SIGKILL ${actor.pid}`);
    for (const attempt of this.#attempts.values()) {
      if (attempt.actor === actor) endAt(attempt, at, 'killed');
    }
    actor.dead = true;
    actor.child.kill('SIGKILL');
    this.#counts.kills++;
  }

  #stop(actor: Actor): void {
    this.#disturbances.push(now());
    this.#note(now(), `${actor.stopped ? 'SIGCONT' : 'SIGSTOP'} ${actor.pid}`);
    actor.child.kill(actor.stopped ? 'SIGCONT' : 'SIGSTOP');
    actor.stopped = !actor.stopped;
    this.#counts.stops++;
  }

  /** As systemd-tmpfiles(8) does it: a lock file that nobody has locked is removed while it is locked by the cleaner. */
  #clean(): void {
    if (this.#directory === undefined) return;
    const path = `${this.#address}.lock`;
    const fd = kernel.open(path, 'O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
    if (typeof fd === 'string') return;
    const locked = kernel.flock(fd, 'LOCK_EX|LOCK_NB');
    if (locked === 0 && inodeOf(fd) === inodeAt(path)) {
      kernel.unlink(path);
      this.#note(now(), 'the cleaner removed the lock file');
    }
    kernel.close(fd);
  }

  #stray(actor: Actor): void {
    // Node 20 cuts a long path short, and listens elsewhere.
    if (this.#directory === undefined || this.#address.length > 100) return;
    const id = `${actor.pid}.${this.#made++}`;
    this.#attempts.set(id, { id, kind: 'stray', pid: actor.pid, actor });
    this.#note(now(), `${actor.pid} is to stray: ${id}`);
    actor.ask('stray', { address: this.#address, attempt: id });
  }

  /** Until nobody has the address, and nobody wants it. Some release, the others are killed. */
  async #settle(): Promise<void> {
    for (const actor of this.#actors) {
      if (actor.stopped) this.#stop(actor);
    }
    const began = now();
    for (;;) {
      const open = [...this.#attempts.values()].filter((attempt) => !isOver(attempt));
      if (open.length === 0) break;
      for (const { id, acquired, end, actor } of open) {
        if (acquired === undefined || end !== undefined) continue;
        if (this.#random.below(4) === 0) this.#kill(actor);
        else actor.ask('release', { attempt: id });
      }
      const hung = now() - began > hangMs;
      if (hung)
        this.#fail(
          open.map(({ id, kind, acquired }) => `hangs: ${id} (${kind}, ${acquired === undefined ? 'asking' : 'releasing'})`),
        );
      await Promise.race([new Promise<void>((heard) => (this.#heard = heard)), pause(100)]);
    }
    await Promise.all(this.#actors.filter(({ dead }) => dead).map(({ ended }) => ended));
  }

  /** G3, G4: with nobody there, a start has it at once; and then nothing is left but the lock file. */
  async #fresh(): Promise<void> {
    const server = net.createServer((connection) => connection.end('fresh'));
    try {
      const claim = await listen(server, this.#address);
      await claim.release();
    } catch (error) {
      this.#fail([`G3: nobody has it, and a start fails: ${(error as Error).message}`]);
    }
    if (this.#directory === undefined) return;
    const left = fs.readdirSync(this.#directory).sort();
    const name = this.#address.slice(this.#address.lastIndexOf('/') + 1);
    if (left.join() !== [`${name}.lock`, 'keep.sock'].sort().join()) this.#fail([`G4: left in the directory: ${left}`]);
    if (fs.readFileSync(`${this.#directory}/keep.sock`, 'utf8') !== 'keep me') this.#fail(['G4: the bystander was changed']);
    const open = leftOpen(this.#directory);
    if (open.length > 0) this.#fail([`left open: ${open}`]);
    const { state } = await inspect(this.#address);
    if (state !== 'free') this.#fail([`inspect says ${state} of a free address`]);
  }

  #fail(found: readonly string[]): never {
    const looks: { at: number; text: string; found: string; count: number }[] = [];
    for (const { from, to, said, failure } of this.#looks) {
      const result = said ?? failure ?? 'closed';
      const last = looks.at(-1);
      if (last?.found === result)
        last.text = `observer: ${result}, ${++last.count} times, until ${(to - last.at).toFixed(2)} ms later`;
      else looks.push({ at: from, found: result, count: 1, text: `observer: ${result} (${(to - from).toFixed(2)} ms)` });
    }
    const all = [...this.#timeline, ...looks].sort((a, b) => a.at - b.at);
    const first = all[0]?.at ?? 0;
    const timeline = all.map(({ at, text }) => `${(at - first).toFixed(2).padStart(10)} ms  ${text}`);
    const numbered = found.map((text) =>
      text.replace(/at (\d+\.\d+)/, (_, at: string) => `at ${(Number(at) - first).toFixed(2)} ms`),
    );
    throw new SoakFailed(
      `seed ${this.#seed}, ${this.#address}: ${numbered.slice(0, 20).join('\n')}\n\ntimeline of the round\n${timeline.join('\n')}`,
    );
  }

  end(): void {
    for (const actor of this.#actors) actor.child.kill('SIGKILL');
    this.#observer.kill('SIGKILL');
  }
}

/** The first end counts. What a process has said may come to us after we have killed it. */
function endAt(attempt: Attempt, at: number, how: NonNullable<Attempt['end']>['how']): void {
  if (attempt.end === undefined || at < attempt.end.at) attempt.end = { at, how };
}

/** Whether nothing more will come of it. */
function isOver({ actor, end, refused, released }: Attempt & { actor: Actor }): boolean {
  return actor.dead || refused !== undefined || released === true || end?.how === 'handed over';
}

function inodeAt(path: string): bigint | undefined {
  const status = kernel.lstat(path);
  return typeof status === 'string' ? undefined : status.ino;
}

function inodeOf(fd: number): bigint | undefined {
  const status = kernel.fstat(fd);
  return typeof status === 'string' ? undefined : status.ino;
}

/**
 * Processes start, wait, take over, release, are killed, stopped and continued, at random from the seed, on several addresses at once,
 * while an observer connects to each.
 *
 * @throws {SoakFailed} a guarantee was broken
 */
export async function soak(root: string, minutes: number, seed: number, progress: (line: string) => void): Promise<Counts> {
  const counts: Counts = { rounds: 0, operations: 0, acquired: 0, handedOver: 0, kills: 0, stops: 0, looks: 0, answered: 0 };
  const directories = [`${root}/a`, `${root}/b`, `${root}/${'l'.repeat(100)}`];
  for (const directory of directories) fs.mkdirSync(directory);
  const random = new Random(seed);
  const arenas = [
    ...directories.map(
      (directory) => new Arena(`${directory}/app.sock`, directory, seed, new Random(random.below(2 ** 31)), counts),
    ),
    new Arena(`@reuseaddr-soak-${process.pid}`, undefined, seed, new Random(random.below(2 ** 31)), counts),
  ];
  const until = now() + minutes * 60_000;
  const began = now();
  const timer = setInterval(() => progress(describe(counts, now() - began)), 10_000);
  try {
    const done = { yes: false };
    await Promise.all(
      arenas.map(async (arena) => {
        try {
          while (now() < until && !done.yes) await arena.round();
        } finally {
          done.yes = true;
        }
      }),
    );
  } finally {
    clearInterval(timer);
    for (const arena of arenas) arena.end();
  }
  progress(describe(counts, now() - began));
  return counts;
}

function describe(counts: Counts, elapsedMs: number): string {
  const parts = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  return `soak: ${(elapsedMs / 1000).toFixed(0)} s, ${parts.join(', ')}`;
}
