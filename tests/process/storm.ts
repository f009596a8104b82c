import assert from 'node:assert/strict';
import { execFileSync, fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import type { TestContext } from 'node:test';
import type { SocketType } from '#dist/address/socketType.js';
import { failed } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { inodeAt, temporaryDirectory } from '../support/directory.js';
import { fixture } from '../support/program.js';
import { greeting } from '../support/reach.js';

const startersAtOnce = 16;
/** Started in advance, so that no round waits for a replacement of the last winner. */
const spares = 4;

type Outcome =
  | { readonly won: true }
  | { readonly won: false; readonly code: string; readonly reason: string; readonly holder?: number };

/** Processes that start on an address when they are let go, all at once. */
class Starters {
  readonly #gate: string;
  readonly #idle: ChildProcess[] = [];
  readonly #becoming: Promise<void>[] = [];
  readonly #t: TestContext;

  constructor(t: TestContext, directory: string) {
    this.#t = t;
    this.#gate = `${directory}/gate`;
    execFileSync('mkfifo', [this.#gate]);
    for (let i = 0; i < startersAtOnce + spares; i++) this.#spawn();
  }

  /** One round: gives each starter with its outcome. */
  async race(
    address: string,
    type: SocketType,
  ): Promise<readonly { readonly starter: ChildProcess; readonly outcome: Outcome }[]> {
    while (this.#idle.length < startersAtOnce) await this.#becoming.shift();
    const starters = this.#idle.splice(0, startersAtOnce);
    const gate = fs.openSync(this.#gate, 'r+'); // open(2) for reading alone, or for writing alone, would wait for the other.
    await Promise.all(
      starters.map((starter) => {
        const atTheGate = once(starter, 'message');
        starter.send({ address, type });
        return atTheGate;
      }),
    );
    const outcomes = starters.map((starter) => once(starter, 'message') as Promise<[Outcome]>);
    fs.closeSync(gate);
    const results = [];
    for (const [i, starter] of starters.entries()) results.push({ starter, outcome: (await outcomes[i]!)[0] });
    this.#idle.push(...results.filter(({ outcome }) => !outcome.won).map(({ starter }) => starter));
    return results;
  }

  async killAndReplace(starter: ChildProcess): Promise<void> {
    const exited = once(starter, 'exit');
    starter.kill('SIGKILL');
    this.#spawn();
    await exited;
  }

  #spawn(): void {
    const starter = fork(fixture('starter.mjs'), [this.#gate]);
    this.#t.after(() => starter.kill('SIGKILL'));
    this.#becoming.push(once(starter, 'message').then(() => void this.#idle.push(starter)));
  }
}

/**
 * The process that a client reaches. The winner tells whether a datagram came to it: no other
 * process names the receiver.
 */
async function reached(nodePath: string, type: SocketType, winner: ChildProcess): Promise<number | undefined> {
  if (type === 'stream') return Number(await greeting(nodePath));
  const fd = kernel.connect(nodePath, type);
  if (failed(fd)) return undefined;
  const peer = type === 'datagram' ? kernel.sendmsg(fd, 'ping', []) : kernel.peerCredentials(fd);
  kernel.close(fd);
  if (typeof peer === 'object') return peer.pid;
  const said = once(winner, 'message');
  winner.send({ read: true });
  return (await said)[0] === 'ping' ? winner.pid : undefined;
}

export interface Address {
  readonly address: string;
  /** As Node's own client takes it, if that differs. */
  readonly nodePath?: string;
  readonly type?: SocketType;
}

/**
 * Races, and SIGKILLs the winner between the rounds. In every round there is one winner, and all
 * others learn who it is.
 */
export async function raceRounds(
  t: TestContext,
  rounds: number,
  { address, nodePath = address, type = 'stream' }: Address,
  check: () => void = () => undefined,
): Promise<void> {
  const starters = new Starters(t, temporaryDirectory(t));
  const told = { 'the pid': 0, 'that it is starting': 0, 'no pid': 0 };
  for (let round = 1; round <= rounds; round++) {
    const results = await starters.race(address, type);
    const winners = results.filter(({ outcome }) => outcome.won);
    assert.equal(winners.length, 1, `round ${round}: ${JSON.stringify(results.map(({ outcome }) => outcome))}`);
    const winner = winners[0]!.starter;
    for (const { outcome } of results) {
      if (outcome.won) continue;
      assert.equal(outcome.code, 'EADDRINUSE', `round ${round}: ${JSON.stringify(outcome)}`);
      assert.match(outcome.reason, /^(held|starting)$/, `round ${round}: ${JSON.stringify(outcome)}`);
      if (outcome.holder !== undefined) assert.equal(outcome.holder, winner.pid, `round ${round}: the wrong holder was named`);
      told[outcome.holder !== undefined ? 'the pid' : outcome.reason === 'starting' ? 'that it is starting' : 'no pid']++;
    }
    assert.equal(await reached(nodePath, type, winner), winner.pid, `round ${round}: another process answers`);
    check();
    await starters.killAndReplace(winner);
  }
  const losers = Object.entries(told).map(([what, count]) => `${count} were told ${what}`);
  t.diagnostic(
    `${rounds} rounds of ${startersAtOnce} starters: ${rounds} winners, each reachable; of the others ${losers.join(', ')}`,
  );
}

/** The same on one path, where the lock file must stay the same, and nothing else be left. */
export async function raceOnPath(t: TestContext, rounds: number, type: SocketType): Promise<void> {
  const directory = temporaryDirectory(t);
  const path = `${directory}/app.sock`;
  let lockInode: bigint | undefined;
  await raceRounds(t, rounds, { address: path, type }, () => {
    lockInode ??= inodeAt(`${path}.lock`);
    assert.equal(inodeAt(`${path}.lock`), lockInode, 'the lock file was replaced');
    assert.deepEqual(fs.readdirSync(directory), ['app.sock', 'app.sock.lock']);
  });
}
