/** `npm run demo`: installs and builds what is missing, then runs `demo/main.ts`. */
import { prepare } from './prepare.mjs';
import { main, root, runAttached } from './step.mjs';

await main(async () => {
  await prepare(['demo']);
  process.exitCode = await runAttached(process.execPath, [`${root}/build/demo/main.js`, ...process.argv.slice(2)]);
});
