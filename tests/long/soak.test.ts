import assert from 'node:assert/strict';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { soak } from './soak.js';

const minutes = Number(process.env['SOAK_MINUTES'] ?? 2);
const seed = Number(process.env['SOAK_SEED'] ?? Date.now() % 1_000_000);

test(
  `soak: ${minutes} minutes of starts, waits, takeovers, kills and stops at random → every guarantee holds`,
  onLinux,
  async (t) => {
    const report = (line: string): void => void process.stderr.write(`${line}\n`);
    report(`soak: seed ${seed}; to replay: npm run soak -- --minutes ${minutes} --seed ${seed}`);
    const counts = await soak(temporaryDirectory(t), minutes, seed, report);
    t.diagnostic(JSON.stringify({ seed, ...counts }));
    assert.ok(counts.acquired > 0 && counts.handedOver > 0 && counts.answered > 0, 'it went through all of it');
  },
);
