import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { explore, type Exploration, type Violation } from './explore.js';
import type { Guarantee } from './guarantees.js';
import { formatLink } from './link.js';
import type { Scenario } from './machine.js';
import { formatSchedule, replay } from './schedule.js';

/**
 * Explores a scenario to its end, prints how much that was, and fails with a schedule where a
 * guarantee does not hold.
 */
export function expectToHold(t: TestContext, scenario: Scenario): Exploration {
  const start = performance.now();
  const exploration = explore(scenario);
  const { states, transitions, schedules, steps, violation } = exploration;
  if (violation) assert.fail(tell(scenario, violation));
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const ways = schedules === undefined ? '' : `, ${formatCount(schedules)} schedules of up to ${steps} steps`;
  t.diagnostic(`${scenario.name}: ${formatCount(states)} states, ${formatCount(transitions)} transitions${ways}, ${seconds} s`);
  return exploration;
}

/** Explores until this guarantee breaks, and prints the shortest schedule that leads there. */
export function expectToBreak(t: TestContext, scenario: Scenario, name: Guarantee['name']): string {
  const { states, violation } = explore(scenario);
  assert.ok(violation, `${scenario.name}: every guarantee holds in all ${states} states`);
  assert.equal(violation.guarantee, name, tell(scenario, violation));
  const schedule = formatSchedule(scenario, violation.moves);
  t.diagnostic(`${scenario.name}: ${name}, ${violation.what}, after ${violation.moves.length} steps: ${schedule}`);
  return schedule;
}

function tell(scenario: Scenario, { guarantee, what, moves }: Violation): string {
  const schedule = formatSchedule(scenario, moves);
  const lines = replay(scenario, schedule).map((line) => `  ${line}`);
  const link =
    scenario.setting && `build/explorer/index.html${formatLink({ ...scenario.setting, schedule })}  (npm run explorer)`;
  const head = [
    `${scenario.name}: ${guarantee} does not hold: ${what}`,
    `replay(scenario, '${schedule}')`,
    ...(link ? [link] : []),
  ];
  return [...head, ...lines].join('\n');
}

function formatCount(count: number): string {
  return count < 1e12 ? count.toLocaleString('en') : count.toExponential(1).replace('e+', '·10^');
}
