import { startPage } from './page.js';
import { serveSearch } from './search.js';

// One script is both the page and its worker.
if (typeof document === 'undefined') serveSearch();
else startPage(document.currentScript?.textContent ?? '');
