import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';
import { claim, listen } from 'reuseaddr';
import type { SocketType } from '#dist/address/socketType.js';
import { findListener } from '#dist/holder/find.js';
import { leftOpen } from '../support/directory.js';
import type { Failure, Program } from '../support/program.js';
import type { Scenario, Stage } from './scenarios.js';

/**
 * Files that no process may touch: next to the address, because a wrong path would most likely be
 * one of these.
 */
const bystanders = ['app.sock.txt', 'app.sock.d', 'app.sock.link', 'app.socke'];

export function addBystanders(directory: string): string {
  fs.writeFileSync(`${directory}/app.sock.txt`, 'keep me');
  fs.mkdirSync(`${directory}/app.sock.d`);
  fs.symlinkSync('app.sock.txt', `${directory}/app.sock.link`);
  fs.writeFileSync(`${directory}/app.socke`, '');
  return describeBystanders(directory);
}

function describeBystanders(directory: string): string {
  return bystanders
    .map((name) => {
      const { ino, mode, mtimeMs, size } = fs.lstatSync(`${directory}/${name}`);
      return [name, ino, mode, mtimeMs, size].join(' ');
    })
    .join('\n');
}

/**
 * The answer at a path: the greeting of a server, and else the pid of the process that has the
 * socket behind the file. A path of any length is reached through a descriptor of its directory.
 */
export async function reach(path: string, type?: SocketType): Promise<string | undefined> {
  if (type !== undefined) return whoHas(path);
  const slash = path.lastIndexOf('/');
  const directory = fs.openSync(path.slice(0, slash), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    const client = net.connect(`/proc/self/fd/${directory}/${path.slice(slash + 1)}`);
    let said = '';
    client.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await once(client, 'end');
    client.destroy();
    return said;
  } catch {
    return undefined;
  } finally {
    fs.closeSync(directory);
  }
}

function whoHas(path: string): string | undefined {
  const file = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
  const pid = file && findListener(path, file)?.pid;
  return pid === process.pid ? 'fresh' : pid?.toString();
}

export interface State {
  readonly fds: readonly string[];
  readonly waits: number;
  readonly holds: boolean;
  readonly handedOver: boolean;
}

/** The remaining process that has the claim, by its own word. At most one may say so. */
async function holderAmong(survivors: readonly Program[]): Promise<Program | undefined> {
  const holders: Program[] = [];
  for (const survivor of survivors) {
    const state = await survivor.ask<State>('state');
    if (state.holds) holders.push(survivor);
  }
  assert.ok(holders.length <= 1, `G1: ${holders.length} processes hold ${holders.map(({ pid }) => pid)}`);
  return holders[0];
}

/**
 * The address as an outsider finds it, after something went wrong in the middle of `scenario`: a
 * process that is left holds it and answers, or a fresh start has it at once; and when all is
 * released, only lock files are left.
 */
export async function assertSound(
  stage: Stage,
  scenario: Scenario,
  survivors: readonly Program[],
  before: string,
): Promise<string> {
  const { address, directory } = stage;
  const living = survivors.filter(({ ended }) => !ended);
  const holder = await holderAmong(living);
  let outcome: string;
  if (holder !== undefined) {
    const refused = await fresh(address, scenario.type);
    assert.ok('code' in refused, 'G1: a process held the address, and a fresh start had it too');
    assert.equal(refused.code, 'EADDRINUSE', refused.message);
    assert.equal(await reach(address, scenario.type), String(holder.pid), 'the survivor holds, but another process answers');
    await holder.ask('release');
    outcome = 'a survivor holds';
  } else outcome = 'free';

  if (stage.stray !== undefined) {
    const refused = await fresh(address, scenario.type);
    assert.ok('code' in refused, 'G4: a fresh start took the address of a live stray');
    assert.equal(refused.reason, 'stray', refused.message);
    assert.equal(await reach(address), 'stray', 'the stray is not to be reached at its path');
    await new Promise((closed) => stage.stray?.close(closed)); // It unlinks its path, as Node's own servers do.
    outcome = 'the stray continues to serve';
  }
  const started = await fresh(address, scenario.type);
  if ('code' in started) throw Object.assign(new Error(`G3: a fresh start failed: ${started.message}`), { cause: started });
  assert.equal(await reach(address, scenario.type), 'fresh');
  await started.release();
  assert.deepEqual(leftOpen(directory), [], 'a process still has it open');
  assert.equal(describeBystanders(directory), before, 'G4: a bystander was touched');
  const left = fs.readdirSync(directory, { recursive: true, encoding: 'utf8' });
  const expected = [...bystanders, ...(scenario.address === undefined ? [] : [address.split('/').at(-2) ?? ''])];
  assert.deepEqual(
    left.filter((name) => !expected.includes(name)),
    [`${address.slice(directory.length + 1)}.lock`],
    'only the lock file may be left',
  );
  return outcome;
}

type Started = { release(): Promise<void> } | Failure;

/** A start by a process that took no part in the events before: this one. */
async function fresh(address: string, type?: SocketType): Promise<Started> {
  const server = net.createServer((connection) => connection.on('error', () => undefined).end('fresh'));
  try {
    const options = { type, handover: true };
    const started = await (type === undefined ? listen(server, address, options) : claim(address, options));
    return { release: () => started.release() };
  } catch (error) {
    return error as Failure;
  }
}
