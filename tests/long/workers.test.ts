import { test } from 'node:test';
import { terminateWorkers } from '../process/workers.js';
import { onLinux } from '../support/privileges.js';

test(
  '1,000 workers are terminated at random moments → every start succeeds, and descriptors, threads and memory are where they were',
  onLinux,
  async (t) => {
    await terminateWorkers(t, { name: `Node ${process.versions.node}`, path: process.execPath }, 1000, 8);
  },
);
