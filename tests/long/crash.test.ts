import assert from 'node:assert/strict';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';
import { inLanes } from './lanes.js';
import { newStage, record } from './points.js';
import { Cast, scenarios, type Scenario } from './scenarios.js';
import { assertSound } from './stage.js';
import { Strace, type Point } from './strace.js';

/**
 * The runtime's calls to wake its threads, and to watch a directory, are not in the same place each
 * time, and how often a socket is read depends on when the other side writes. If such a call is not
 * reached in any try, the count says so.
 */
const notRepeatable = new Set(['read', 'write', 'inotify_init1', 'inotify_add_watch', 'recvmsg']);

const triesMax = 3;

const laneCount = 3;

async function killAt(point: Point, cast: Cast, scenario: Scenario, root: string): Promise<string> {
  const { stage, bystanders } = newStage(cast, scenario, root);
  await scenario.prepare(stage);
  const victim = await cast.get(scenario.victim);
  const log = `${stage.directory}.strace`;
  const strace = await Strace.attach(victim.pid, log, {
    inject: `${point.syscall}:signal=SIGKILL:when=${point.nth}`,
    threads: point.thread === 'other',
  });
  await scenario.act(stage).catch(() => undefined);
  const reached = victim.ended;
  if (!reached) await victim.kill();
  const said = await strace.ended();
  await scenario.cleanUp?.(stage);
  const survivors = scenario.partner === undefined ? [] : [await cast.get(scenario.partner)];
  try {
    const outcome = await assertSound(stage, scenario, survivors, bystanders);
    if (scenario.partner === 'newcomer') assert.equal(outcome, 'a survivor holds', 'the newcomer should have the claim');
    return reached ? outcome : 'not reached';
  } catch (error) {
    const where = `${scenario.name}: killed at ${point.thread} thread, ${point.syscall} no. ${point.nth}: ${point.text}`;
    throw new Error(`${where}\n${(error as Error).message}\nwhat it did until then:\n${said}`, { cause: error });
  }
}

for (const scenario of scenarios) {
  test(`SIGKILL at every system call of: ${scenario.name} → a fresh start, or the other side, has the address at once`, async (t) => {
    const root = temporaryDirectory(t);
    const points = await record(t, scenario, root);
    const outcomes = new Map<string, number>();
    const lanes = Array.from({ length: laneCount }, () => new Cast(t, root));
    const missed: string[] = [];
    await inLanes(points, lanes, async (point, cast) => {
      let outcome = await killAt(point, cast, scenario, root);
      for (let again = 0; again < triesMax - 1 && outcome === 'not reached'; again++)
        outcome = await killAt(point, cast, scenario, root);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (outcome === 'not reached' && !notRepeatable.has(point.syscall))
        missed.push(`${point.thread} ${point.syscall} ${point.nth}`);
    });
    await Promise.all(lanes.map((cast) => cast.end()));
    const counts = [...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(', ');
    t.diagnostic(`${points.length} kill points: ${counts}`);
    assert.deepEqual(missed, []);
  });
}
