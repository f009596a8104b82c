/** `npm run check`, `npm run lint`, `npm run format`: all the checks, or the one that is named. */
import { format, lint, runChecks } from './checks.mjs';
import { install, prepare } from './prepare.mjs';
import { main, step } from './step.mjs';

await main(async () => {
  const only = process.argv[2];
  if (only === 'format') {
    // Formatting must work on code that doesn't compile yet.
    await install();
    await step('format', format);
    return;
  }
  await prepare(['tests', 'demo', 'bench']);
  await (only === 'lint' ? step('lint', lint) : runChecks());
});
