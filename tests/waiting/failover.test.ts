import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { fixtureBeside, Program } from '../support/program.js';
import { blockedWaits } from '../support/waits.js';

const rounds = 50;
/** Of the C program behind a holder of ours: what it costs the kernel to end a process of Node's size, whoever waits for that. */
const mixedRounds = 20;

interface Standby {
  readonly pid: number;
  kill(): Promise<unknown>;
}

test(
  'a holder is killed and a standby waits, 50 times → a client is served; the time from the kill on, beside that of the same scheme in C',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const compiled = (name: string): string => {
      execFileSync('cc', ['-O2', '-w', '-o', `${directory}/${name}`, fixtureBeside(import.meta.url, `${name}.c`)]);
      return `${directory}/${name}`;
    };
    const [scheme, client] = [compiled('failover'), compiled('failover-client')];

    const inC = async (address: string): Promise<Standby> => {
      const child: ChildProcess = spawn(scheme, [address, `${address}.lock`], { stdio: 'ignore' });
      t.after(() => child.kill('SIGKILL'));
      const exit = once(child, 'exit');
      return { pid: child.pid!, kill: () => (child.kill('SIGKILL'), exit) };
    };
    const ours = async (address: string): Promise<Standby> => {
      const program = await Program.start(t);
      void program.ask('listen', { address, options: { wait: true } }).catch(() => undefined);
      return { pid: program.pid, kill: () => program.kill() };
    };
    const start = async (make: (address: string) => Promise<Standby>, address: string) => {
      const holder = await make(address);
      while (!(await answers(address))) await setImmediate();
      return { make, address, holder, times: [] as number[] };
    };
    const sides = [await start(inC, `${directory}/c`), await start(ours, `${directory}/ours`)];
    for (let round = 0; round < rounds; round++) {
      for (const side of sides) {
        const standby = await side.make(side.address);
        while (blockedWaits(`${side.address}.lock`) !== 1) await setImmediate();
        const { stdout } = await promisify(execFile)(client, [side.address, String(side.holder.pid)]);
        side.times.push(Number(stdout));
        await side.holder.kill();
        side.holder = standby;
      }
    }
    const mixed: number[] = [];
    for (let round = 0; round < mixedRounds; round++) {
      const { holder } = await start(ours, `${directory}/mixed`);
      const standby = await inC(`${directory}/mixed`);
      while (blockedWaits(`${directory}/mixed.lock`) !== 1) await setImmediate();
      const { stdout } = await promisify(execFile)(client, [`${directory}/mixed`, String(holder.pid)]);
      mixed.push(Number(stdout));
      await Promise.all([holder.kill(), standby.kill()]);
    }
    const [c, js, behind] = [...sides.map(({ times }) => times), mixed].map(medianMs) as [number, number, number];
    assert.equal(sides[1]!.times.length, rounds);
    t.diagnostic(
      `failover, median of ${rounds}: C ${c.toFixed(2)} ms, reuseaddr ${js.toFixed(2)} ms, ${(js / c).toFixed(2)} times (target 2.5)`,
    );
    t.diagnostic(
      `a C standby behind a holder of Node's, median of ${mixedRounds}: ${behind.toFixed(2)} ms; reuseaddr is ${(js / behind).toFixed(2)} times that`,
    );
  },
);

function medianMs(microseconds: readonly number[]): number {
  return microseconds.toSorted((a, b) => a - b)[microseconds.length / 2]! / 1000;
}

async function answers(address: string): Promise<boolean> {
  const { connect } = await import('node:net');
  const socket = connect(address);
  return await once(socket, 'data')
    .then(
      () => true,
      () => false,
    )
    .finally(() => socket.destroy());
}
