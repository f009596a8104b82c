/**
 * The script: the same for every scheme, on one address. It learns every result by asking, as a
 * client would.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { inspect, type Reason } from 'reuseaddr';
import type { Scheme } from './messages.js';
import { good, type Outcome, type Outcomes, type Step } from './outcomes.js';
import { ServerProcess, whoAnswers, whoAnswersAll } from './processes.js';
import { printQuote, printStep } from './terminal.js';

const clientsAtOnce = 3;

/** A quote that contains a long address twice is too much to read. */
const quoteCharactersMax = 400;

/** Runs the script, prints each step, and returns the outcomes. */
export async function runScript(scheme: Scheme, address: string): Promise<Outcomes> {
  const outcomes: Outcomes = {};
  const tell = (step: Step, outcome: Outcome, text: string): void => {
    outcomes[step] = outcome;
    printStep(step, outcome === good[step], text);
  };

  const first = await ServerProcess.start(scheme, address);
  const answers = await whoAnswersAll(address, clientsAtOnce);
  const allByFirst = answers.every((pid) => pid === first.pid);
  tell('start', allByFirst ? 'serves' : 'none', `process ${first.pid} serves ${clientsAtOnce} clients`);

  const second = await ServerProcess.start(scheme, address);
  await tellSecondStart(first, second, await whoAnswers(address), tell);

  await Promise.all([first.kill(), second.kill()]);
  const third = await ServerProcess.start(scheme, address);
  const restarted = (await whoAnswers(address)) === third.pid;
  if (restarted) tell('kill -9, start', 'serves', `process ${third.pid} serves at once`);
  else {
    const inUse = third.refusal?.code === 'EADDRINUSE';
    tell('kill -9, start', inUse ? 'EADDRINUSE' : 'none', `${third.refusal?.code}, though no process listens`);
  }

  // An abstract name has no file that a stray or another program could own.
  if (!address.startsWith('@')) {
    const [stray, file] = await Promise.all([meetStray(scheme, `${address}-stray`), meetRegularFile(scheme, `${address}-file`)]);
    tell('stray', ...stray);
    tell('regular file', ...file);
  }

  await third.kill();
  await tellTwoStarts(scheme, address, tell);
  return outcomes;
}

type Tell = (step: Step, outcome: Outcome, text: string) => void;

async function tellSecondStart(
  first: ServerProcess,
  second: ServerProcess,
  answeredBy: number | undefined,
  tell: Tell,
): Promise<void> {
  const { refusal } = second;
  if (refusal === undefined) {
    const lost = answeredBy === second.pid && (await first.isAlive());
    tell('second start', lost ? 'takes over' : 'none', `it takes over: process ${first.pid} lives, no client finds it`);
    tell('  told who has it', 'no', 'no process was told anything');
    return;
  }
  const refused = answeredBy === first.pid && refusal.code === 'EADDRINUSE';
  tell('second start', refused ? 'refused' : 'none', `refused with ${refusal.code}; process ${first.pid} still serves`);
  const toldWho = refusal.holderPid === first.pid && refusal.message.includes(String(first.pid));
  tell(
    '  told who has it',
    toldWho ? 'yes' : 'no',
    toldWho ? 'in the error and in its message' : 'only that the address is in use',
  );
  if (toldWho && refusal.message.length < quoteCharactersMax) printQuote(refusal.message);
}

/** A stray is a live server that does not take the lock. */
async function meetStray(scheme: Scheme, address: string): Promise<[Outcome, string]> {
  const stray = await ServerProcess.start('plain', address);
  const starter = await ServerProcess.start(scheme, address);
  const answers = (await whoAnswers(address)) === stray.pid;
  const alive = await stray.isAlive();
  await Promise.all([stray.kill(), starter.kill()]);
  if (answers && isRefused(scheme, starter, 'stray'))
    return ['left alone', `left alone; the start gets ${starter.refusal?.code}`];
  return [alive && starter.serves ? 'displaced' : 'none', 'it lives, but no client can find it'];
}

async function meetRegularFile(scheme: Scheme, path: string): Promise<[Outcome, string]> {
  const content = 'A program needs this file.';
  writeFileSync(path, content);
  const starter = await ServerProcess.start(scheme, path);
  const leftAlone = isFileWith(path, content);
  await starter.kill();
  rmSync(path);
  if (leftAlone && isRefused(scheme, starter, 'not-a-socket'))
    return ['left alone', `left alone; the start gets ${starter.refusal?.code}`];
  return [leftAlone ? 'none' : 'deleted', 'deleted, and a socket put in its place'];
}

/** The other schemes know no reasons. */
function isRefused(scheme: Scheme, starter: ServerProcess, reason: Reason): boolean {
  return starter.refusal !== undefined && (scheme !== 'reuseaddr' || starter.refusal.reason === reason);
}

function isFileWith(path: string, content: string): boolean {
  try {
    return readFileSync(path, 'utf8') === content;
  } catch {
    return false;
  }
}

/**
 * After a crash, two servers start at once. If a scheme has a gap between look and deed, both are
 * in it at the same time.
 */
async function tellTwoStarts(scheme: Scheme, address: string, tell: Tell): Promise<void> {
  const starters = await Promise.all([ServerProcess.startAndLook(scheme, address), ServerProcess.startAndLook(scheme, address)]);
  const [faster, slower] = starters;
  if (scheme === 'reuseaddr' || scheme === 'plain') {
    await Promise.all(starters.map((starter) => starter.goOn()));
  } else {
    await faster.goOn();
    if ((await whoAnswers(address)) !== faster.pid)
      throw new Error('the faster one should serve, until the slower one continues');
    await slower.goOn();
  }
  const serving = starters.filter((starter) => starter.serves);
  const answeredBy = await whoAnswers(address);
  const refused = starters.filter((starter) => starter.refusal?.code === 'EADDRINUSE');
  const lost = serving.find((starter) => starter.pid !== answeredBy);
  if (answeredBy === undefined) tell('two starts at once', 'none', 'neither gets the address');
  else if (lost !== undefined && (await lost.isAlive())) {
    tell('two starts at once', 'one is lost', 'both serve; the slower unlinked a live socket');
  } else if (serving.length === 1 && refused.length === 1) {
    tell('two starts at once', 'one holder', `process ${answeredBy} serves, the other is refused`);
  }
  await Promise.all(starters.map((starter) => starter.kill()));
}

/** The life of an address as `inspect` sees it. Returns the deviations. */
export async function runInspect(address: string): Promise<string[]> {
  const seen: string[] = [];
  const look = async (path = address): Promise<void> => {
    seen.push((await inspect(path)).state);
  };
  rmSync(address, { force: true });
  await look();
  const killed = await ServerProcess.start('reuseaddr', address);
  await look();
  await killed.kill();
  await look();
  const stopped = await ServerProcess.start('reuseaddr', address);
  await look();
  await stopped.stop();
  await look();

  const wanted = 'free, listening, stale, listening, free';
  const isGood = seen.join(', ') === wanted;
  printStep('inspect', isGood, seen.join(' → '));
  const clean = !existsSync(address) && existsSync(`${address}.lock`);
  printStep('stop', clean, clean ? 'the socket file is removed, the lock file stays' : 'not clean');
  return [...(isGood ? [] : [`inspect saw ${seen.join(', ')}`]), ...(clean ? [] : ['a stop left the wrong files'])];
}
