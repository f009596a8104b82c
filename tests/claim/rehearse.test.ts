import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rehearse } from '#dist/claim/rehearse.js';

/** Those of a start over a stale socket, from step 5 on. */
const steps = [
  'fstatat socket fchmod bind',
  'fstatat probe renameat2 fstatat probe unlinkat bind',
  'fstatat sock_diag listen mmap',
].flatMap((line) => line.split(' '));

test('the steps over a stale socket are rehearsed → all of them, up to the record, and none twice for want of an answer', () => {
  assert.deepEqual(rehearse({ mode: 0o600, backlog: 511, record: 'text' }), steps);
});

test('an owner and a group were asked for → the steps that grant them are in it', () => {
  const asked = rehearse({ mode: 0o660, uid: 1, gid: 2, backlog: 511, record: 'text' });
  for (const name of [...steps, 'fchownat', 'fchmodat'] as const) assert.ok(asked.includes(name as never), name);
  assert.ok(asked.length < 2 * steps.length);
});
