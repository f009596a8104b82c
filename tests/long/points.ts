import fs from 'node:fs';
import type { TestContext } from 'node:test';
import { Cast, type Scenario, type Stage } from './scenarios.js';
import { addBystanders, assertSound } from './stage.js';
import { pointsOf, Strace, type Point } from './strace.js';

let made = 0;

/** A directory of its own for one run of a scenario, with bystanders in it. */
export function newStage(cast: Cast, scenario: Scenario, root: string): { stage: Stage; bystanders: string } {
  const directory = `${root}/${made++}`;
  fs.mkdirSync(directory);
  const address = scenario.address?.(directory) ?? `${directory}/app.sock`;
  return { stage: { cast, directory, address }, bystanders: addBystanders(directory) };
}

/** Every system call of a scenario, as it goes when nothing goes wrong. */
export async function record(t: TestContext, scenario: Scenario, root: string): Promise<Point[]> {
  const cast = new Cast(t, root);
  const { stage, bystanders } = newStage(cast, scenario, root);
  await scenario.prepare(stage);
  const victim = await cast.get(scenario.victim);
  const strace = await Strace.attach(victim.pid, `${stage.directory}.strace`, { threads: scenario.killsOnly !== true });
  await scenario.act(stage).catch(() => undefined);
  const log = await strace.detach();
  await scenario.cleanUp?.(stage);
  const partner = scenario.partner === undefined ? [] : [await cast.get(scenario.partner)];
  await assertSound(stage, scenario, [victim, ...partner], bystanders);
  await cast.end();
  return pointsOf(log, victim.pid);
}
