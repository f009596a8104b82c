import { startPage } from './page.js';
import { serveSearch } from './search.js';

// One script is both: the page, and the worker that the page makes of it.
if (typeof document === 'undefined') serveSearch();
else startPage(document.currentScript?.textContent ?? '');
