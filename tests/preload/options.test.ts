import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEnvironment } from '#dist/preload/preloadOptions.js';

const none = { wait: false, takeover: false, handover: false, rebind: false };

test('REUSEADDR is not set, or empty → the default', () => {
  assert.deepEqual(readEnvironment({}), none);
  assert.deepEqual(readEnvironment({ REUSEADDR: '' }), none);
  assert.deepEqual(readEnvironment({ REUSEADDR: ' ' }), none);
});

test('REUSEADDR=off → nothing is installed', () => {
  assert.equal(readEnvironment({ REUSEADDR: 'off' }), undefined);
});

test('REUSEADDR is a list → each of its words, in any order', () => {
  assert.deepEqual(readEnvironment({ REUSEADDR: 'wait' }), { ...none, wait: true });
  assert.deepEqual(readEnvironment({ REUSEADDR: 'rebind' }), { ...none, rebind: true });
  assert.deepEqual(readEnvironment({ REUSEADDR: 'takeover,handover' }), { ...none, takeover: true, handover: true });
  assert.deepEqual(readEnvironment({ REUSEADDR: 'handover, wait,wait' }), { ...none, wait: true, handover: true });
});

test('REUSEADDR has a word that is none of ours → an error that says which, and what there is', () => {
  for (const [text, complaint] of [
    ['on', /"on".*there is no option "on".*"off".*"wait", "takeover", "handover", "rebind"/],
    ['Wait', /there is no option "Wait"/],
    ['wait,handoff', /there is no option "handoff"/],
    ['wait,', /a word is missing/],
    ['off,wait', /"off" cannot be combined/],
    ['0', /there is no option "0"/],
  ] as const) {
    assert.throws(() => readEnvironment({ REUSEADDR: text }), { code: 'ERR_REUSEADDR_ENVIRONMENT', message: complaint });
  }
});
