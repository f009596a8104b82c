/** `npm run build`: builds the package as it is published, `dist/` and the addon. */
import { prepare } from './prepare.mjs';
import { main } from './step.mjs';

await main(() => prepare());
