/**
 * `npm run soak -- --minutes N --seed S`: processes start, take over, wait and die at random. See
 * `tests/long/soak.ts`.
 */
import { parseArgs } from 'node:util';
import { prepare } from './prepare.mjs';
import { main, root, runAttached } from './step.mjs';

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '2' }, seed: { type: 'string' } } });

await main(async () => {
  await prepare(['tests']);
  process.env.SOAK_MINUTES = values.minutes;
  if (values.seed !== undefined) process.env.SOAK_SEED = values.seed;
  const args = ['--test', '--test-reporter=spec', 'long/soak.test.js'];
  process.exitCode = await runAttached(process.execPath, args, `${root}/build/tests`);
});
