/** `npm run check`, `npm run lint`, `npm run format`: runs all checks, or the named one. */
import { format, lint, runChecks } from './checks.mjs';
import { install, prepare } from './prepare.mjs';
import { main, step } from './step.mjs';

await main(async () => {
  const only = process.argv[2];
  if (only === 'format') {
    // Formatting must work on code that does not compile yet.
    await install();
    await step('format', format);
    return;
  }
  await prepare(['tests', 'demo']);
  await (only === 'lint' ? step('lint', lint) : runChecks());
});
