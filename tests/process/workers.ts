import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Runtime } from '../runtimes/install.js';
import { temporaryDirectory } from '../support/directory.js';

/** The open descriptors and threads of the process, without its bystander. */
interface Resources {
  readonly open: number;
  readonly threads: number;
}

interface Report {
  readonly workers: number;
  /** How often each message was a worker's last one. */
  readonly said: Readonly<Record<string, number>>;
  /** The result of a start after all workers had been terminated. */
  readonly refused: readonly string[];
  readonly before: Resources;
  readonly after: Resources;
  readonly text: string;
  readonly grownMegabytes: number;
}

/**
 * The permitted growth of the process over the last two thirds: a thread's stack, code that is
 * compiled late, and pages that the allocator keeps.
 */
const grownMegabytesMax = 64;

/**
 * Terminates worker threads that listen, claim, take over and wait on one address, at random
 * moments, and looks at what they leave: `fixtures/workers.mjs`.
 *
 * @param together how many run at a time
 */
export async function terminateWorkers(t: TestContext, { name, path }: Runtime, count: number, together: number): Promise<void> {
  const seed = Date.now() % 2 ** 31;
  const fixture = fileURLToPath(new URL('../../../tests/process/fixtures/workers.mjs', import.meta.url));
  const args = [`${temporaryDirectory(t)}/app.sock`, String(count), String(together), String(seed)];
  const child = fork(fixture, args, { execPath: path, execArgv: ['--expose-gc'] });
  t.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit').then(([code, signal]) => assert.fail(`${name}, seed ${seed}: ended with ${code ?? signal}`));
  const [report] = (await Promise.race([once(child, 'message'), ended])) as [Report];
  const { said, refused, before, after, text, grownMegabytes, workers } = report;
  t.diagnostic(`${name}, seed ${seed}: ${workers} workers, ${JSON.stringify(said)}, ${grownMegabytes.toFixed(1)} MB more`);
  assert.deepEqual(refused, [], `${name}, seed ${seed}`);
  assert.deepEqual(after, before, `${name}, seed ${seed}`);
  assert.equal(text, 'bystander');
  assert.ok((said['holds'] ?? 0) > 0, `${name}: no worker came to hold the address`);
  assert.ok(grownMegabytes < grownMegabytesMax, `${name}, seed ${seed}: ${grownMegabytes} MB more`);
}
