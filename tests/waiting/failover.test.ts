import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { compiled } from '../support/commands.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { fixtureBeside } from '../support/program.js';
import { blockedWaits } from '../support/waits.js';

const rounds = 50;

/** A process that holds the address, or waits for it. */
interface Server {
  readonly pid: number;
  kill(): Promise<unknown>;
}

test(
  'a holder is killed and a standby waits, 50 times → a client is served; the time from the kill on, next to that of the same scheme in C',
  onLinux,
  async (t) => {
    const directory = temporaryDirectory(t);
    const scheme = compiled(fixtureBeside(import.meta.url, 'failover.c'));
    const client = compiled(fixtureBeside(import.meta.url, 'failover-client.c'));
    const start = (command: string, args: readonly string[]): Server => {
      const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
      t.after(() => child.kill('SIGKILL'));
      const exit = once(child, 'exit');
      return { pid: child.pid!, kill: () => (child.kill('SIGKILL'), exit) };
    };
    const inC = (address: string): Server => start(scheme, [address, `${address}.lock`]);
    const ours = (address: string): Server => start(process.execPath, [fixtureBeside(import.meta.url, 'standby.mjs'), address]);

    const subjects = [
      { name: 'reuseaddr', holder: ours, standby: ours },
      // The kernel gives a process's memory back before it closes its files, for any standby: here
      // the holder is Node's, too.
      { name: 'C standby', holder: ours, standby: inC },
      { name: 'C', holder: inC, standby: inC },
    ].map((subject, number) => ({ ...subject, address: `${directory}/${number}`, times: [] as number[] }));
    for (let round = 0; round < rounds; round++) {
      for (const { holder, standby, address, times } of subjects) {
        const first = holder(address);
        while (!(await answers(address))) await setImmediate();
        const second = standby(address);
        while (blockedWaits(`${address}.lock`) !== 1) await setImmediate();
        const { stdout } = await promisify(execFile)(client, [address, String(first.pid)]);
        times.push(Number(stdout));
        await Promise.all([first.kill(), second.kill()]);
      }
    }
    const [reuseaddr, standbyInC, allInC] = subjects.map(({ times }) => medianMs(times)) as [number, number, number];
    const times = (other: number): string => `${(reuseaddr / other).toFixed(2)} times`;
    t.diagnostic(
      `failover, median of ${rounds}: reuseaddr ${reuseaddr.toFixed(2)} ms; a C standby behind the same holder ` +
        `${standbyInC.toFixed(2)} ms, ${times(standbyInC)} (aim 2.5); all in C ${allInC.toFixed(2)} ms, ${times(allInC)}`,
    );
  },
);

function medianMs(microseconds: readonly number[]): number {
  return microseconds.toSorted((a, b) => a - b)[microseconds.length / 2]! / 1000;
}

async function answers(address: string): Promise<boolean> {
  const socket = connect(address);
  return await once(socket, 'data')
    .then(
      () => true,
      () => false,
    )
    .finally(() => socket.destroy());
}
