/**
 * The processor time of a claim in a process that runs already: listen on an address, and close.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, openSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { listen } from 'reuseaddr';
import { floor, peers, places, withDirectory } from '../environment.js';
import { choose, processorMicroseconds, takeTurns, type Measurement, type Run, type Subject } from '../measure.js';

interface ProperLockfile {
  lock(path: string, options: { realpath: boolean }): Promise<() => Promise<void>>;
}

interface NativeLocks {
  tryLock(fd: number): boolean;
}

const claimsPerValue = 10;

/** Made before anything is measured, so that the compiler has done its work. */
const warmClaims = { full: 3000, quick: 1000, tiny: 10 } as const;

const nobody = 65_534;

export async function measureClaim(run: Run): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const [group, place] of Object.entries(places)) {
    run.say(`claim on ${group}`);
    const rounds = choose(run, 200, 30, 2);
    const about = { part: 'claim', group, unit: 'µs', better: 'lower' } as const;
    measurements.push(
      ...(await withDirectory(place, async (directory) => {
        // The unprivileged user has to reach it.
        chmodSync(directory, 0o777);
        await processorMicroseconds(warmClaims[run.size], () => listenHeld(join(directory, 'warm')));
        return await takeTurns(about, rounds, [...subjects(directory), ...(await unprivileged(run, directory))]);
      })),
    );
  }
  return measurements;
}

function subjects(directory: string): Subject[] {
  const properLockfile = peers('proper-lockfile') as ProperLockfile;
  const native = peers('fs-native-extensions') as NativeLocks;
  const path = (name: string): string => join(directory, `${name}.sock`);
  return [
    each('plain', () => listenPlain(path('plain'), closePlain)),
    each('reuseaddr', () => listenHeld(path('held'))),
    each('proper-lockfile', async () => {
      const release = await properLockfile.lock(path('proper'), { realpath: false });
      rmSync(path('proper'), { force: true });
      await listenPlain(path('proper'), closePlain);
      await release();
    }),
    each('lock by hand', async () => {
      const fd = openSync(`${path('hand')}.lock`, 'a+');
      if (!native.tryLock(fd)) throw new Error('It is free.');
      rmSync(path('hand'), { force: true });
      await listenPlain(path('hand'), closePlain);
      closeSync(fd);
    }),
    { name: 'C', measure: () => Number(execFileSync(floor, ['claim', path('c'), '200'], { encoding: 'utf8' })) },
  ];
}

/** If root measures, measures an ordinary user too. */
async function unprivileged(run: Run, directory: string): Promise<Subject[]> {
  if (process.geteuid?.() !== 0) return [];
  const { name, measure } = each('reuseaddr, not root', () => listenHeld(join(directory, 'nobody.sock')));
  try {
    await asNobody(() => statSync(join(directory, '.')));
  } catch {
    run.say(`without "${name}": user ${nobody} may not search ${directory}`);
    return [];
  }
  return [{ name, measure: () => asNobody(measure) }];
}

function each(name: string, work: () => Promise<unknown>): Subject {
  return { name, measure: () => processorMicroseconds(claimsPerValue, work) };
}

/** Changes the effective user alone: the kernel derives capabilities from it. */
async function asNobody<Result>(work: () => Promise<Result> | Result): Promise<Result> {
  process.seteuid?.(nobody);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

async function listenHeld(path: string): Promise<void> {
  const server = createServer();
  await listen(server, path);
  await closePlain(server);
}

async function listenPlain(path: string, then: (server: Server) => Promise<void>): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => void server.once('error', reject).listen(path, resolve));
  await then(server);
}

function closePlain(server: Server): Promise<void> {
  return new Promise((resolve) => void server.close(() => resolve()));
}
