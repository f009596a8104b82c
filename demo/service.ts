/**
 * The features of reuseaddr beyond a start: a standby, a handover under load, and a supervised
 * program.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from 'reuseaddr';
import { Load, ServerProcess, track, whoAnswers } from './processes.js';
import { printStep, type ServiceStep } from './terminal.js';

const versions = 4;
const replacements = 3;
const asksMax = 10_000;

/** Shows and prints each feature, and returns the deviations. */
export async function runService(address: string): Promise<string[]> {
  return [...(await showWait(address)), ...(await showHandover(address)), ...(await showRun(address))];
}

function tell(step: ServiceStep, isGood: boolean, text: string): string[] {
  printStep(step, isGood, text);
  return isGood ? [] : [`${step}: ${text}`];
}

async function showWait(address: string): Promise<string[]> {
  const holder = await ServerProcess.start('reuseaddr', address);
  const standby = await ServerProcess.startAndLook('reuseaddr', address, { wait: true });
  const serving = standby.goOn();
  await holder.kill();
  const killedMs = performance.now();
  await serving;
  const tookMs = Math.ceil(performance.now() - killedMs);
  const isGood = (await whoAnswers(address)) === standby.pid;
  await standby.kill();
  return tell('wait', isGood, `a standby serves ${tookMs} ms after the holder was killed`);
}

/** Each version takes over from its predecessor, which ends by itself. */
async function showHandover(address: string): Promise<string[]> {
  const both = { takeover: true, handover: true };
  let holder = await ServerProcess.start('reuseaddr', address, both);
  const load = new Load(address);
  for (let version = 2; version <= versions; version++) {
    const next = await ServerProcess.start('reuseaddr', address, both);
    await holder.ended;
    holder = next;
  }
  const isCurrent = (await whoAnswers(address)) === holder.pid;
  const { answered, failed } = await load.stop();
  await holder.kill();
  return tell('handover', isCurrent && failed === 0, `${versions} versions under load: ${answered} requests, ${failed} failed`);
}

/** `reuseaddr run` replaces its program on SIGHUP, and restarts it after `kill -9`. */
async function showRun(address: string): Promise<string[]> {
  const { bin } = createRequire(import.meta.url)('reuseaddr/package.json') as { bin: { reuseaddr: string } };
  const tool = join(fileURLToPath(import.meta.resolve('reuseaddr/package.json')), '..', bin.reuseaddr);
  const program = [process.execPath, fileURLToPath(new URL('fixtures/program.js', import.meta.url)), address];
  const run = track(spawn(process.execPath, [tool, 'run', '--restart=always', address, '--', ...program], { stdio: 'ignore' }));
  (await connect(address, { timeout: Infinity })).destroy();
  const load = new Load(address);
  let pid = await whoAnswers(address);
  for (let count = 0; count < replacements; count++) {
    run.kill('SIGHUP');
    pid = await anotherThan(pid, address);
  }
  const { answered, failed } = await load.stop();
  const replaced = `${replacements} programs replaced under load: ${answered} requests, ${failed} failed`;
  const failures = tell('run, SIGHUP', failed === 0, replaced);
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  const restarted = await anotherThan(pid, address);
  const ended = once(run, 'exit');
  run.kill('SIGTERM');
  await ended;
  const isServing = restarted !== undefined;
  return [...failures, ...tell('run, kill -9', isServing, `started again: process ${restarted} serves`)];
}

/** Asks until another process answers. */
async function anotherThan(pid: number | undefined, address: string): Promise<number | undefined> {
  for (let asked = 0; asked < asksMax; asked++) {
    const answeredBy = await whoAnswers(address);
    if (answeredBy !== undefined && answeredBy !== pid) return answeredBy;
  }
  return undefined;
}
