import { test } from 'node:test';
import { abstractName } from '../support/abstract.js';
import { onLinux } from '../support/privileges.js';
import { raceOnPath, raceRounds } from './storm.js';

test('G1, G3: 16 starters at once on one path, SIGKILL of the winner between 200 rounds → one winner each, reachable', async (t) => {
  await raceOnPath(t, 200, 'stream');
});

// In all 200 rounds: tests/long/types.test.ts.
for (const type of ['datagram', 'seqpacket'] as const)
  test(
    `G1, G3: 16 starters at once for a ${type} socket, SIGKILL of the winner between 20 rounds → one winner each`,
    onLinux,
    async (t) => {
      await raceOnPath(t, 20, type);
    },
  );

test(
  'G1, G3: 16 starters at once on one abstract name, SIGKILL of the winner between 25 rounds → one winner each',
  onLinux,
  async (t) => {
    await raceRounds(t, 25, abstractName());
  },
);
