/**
 * `node --import reuseaddr/register app.js`: every server of the program listens in the way of
 * `listen`. See docs/preload.md.
 */
import { install } from './preload/install.js';
import { readEnvironment } from './preload/preloadOptions.js';

const options = readEnvironment(process.env);
if (options !== undefined) install(options);
