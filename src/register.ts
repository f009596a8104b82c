import './server/listen.js';
