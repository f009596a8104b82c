import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { runtimes, type Runtime } from '../runtimes/install.js';
import { differences } from './differences.js';

/** The trace of each scenario. */
type Traces = Readonly<Record<string, readonly string[]>>;

interface Run {
  readonly runtime: Runtime;
  readonly plain: Traces;
  readonly preloaded: Traces;
}

const scenariosMin = 250;
const removalsMin = 40;
const script = fileURLToPath(new URL('../../../tests/preload/fixtures/scenarios.mjs', import.meta.url));
const register = import.meta.resolve('reuseaddr/register');
const expected = new Set(differences.flatMap(({ scenarios }) => scenarios));

/** One list of scenarios, on every Node, without the preload and with it. */
describe('the same program on plain Node and under the preload', () => {
  const runs: Run[] = [];

  before(async () => {
    for (const runtime of await runtimes()) {
      // Two at a time: there is a core for each.
      const [plain, preloaded] = await Promise.all([traces(runtime, []), traces(runtime, ['--import', register])]);
      runs.push({ runtime, plain, preloaded });
    }
  });

  after(() => {
    for (const { runtime, plain, preloaded } of runs) {
      const count = Object.keys(plain).length;
      console.log(
        `  ${runtime.name}: ${count} scenarios, ${count - differing(plain, preloaded).length} the same, ${differing(plain, preloaded).length} meant to differ`,
      );
    }
  });

  test('every scenario ran to its end, on every Node', () => {
    for (const { runtime, plain, preloaded } of runs) {
      assert.ok(Object.keys(plain).length >= scenariosMin, `${runtime.name}: ${Object.keys(plain).length} scenarios`);
      assert.deepEqual(Object.keys(preloaded), Object.keys(plain), runtime.name);
      const failed = [...Object.entries(plain), ...Object.entries(preloaded)].filter(([, trace]) =>
        trace.join().includes('the scenario failed'),
      );
      assert.deepEqual(failed, [], runtime.name);
    }
  });

  test('a scenario is not in the list of differences → the traces are equal, line by line', () => {
    for (const { runtime, plain, preloaded } of runs) {
      for (const [name, trace] of Object.entries(plain)) {
        if (!expected.has(name)) assert.deepEqual(preloaded[name], trace, `${runtime.name}: ${name}`);
      }
    }
  });

  test('a scenario is in the list of differences → the traces differ, or it has no place there', () => {
    for (const { runtime, plain, preloaded } of runs) {
      assert.deepEqual(new Set(differing(plain, preloaded)), expected, runtime.name);
    }
  });

  test('a program removes or renames the file of a live server → under the preload that server is reached all the same', () => {
    for (const { runtime, preloaded } of runs) {
      const lines = Object.values(preloaded).flatMap((trace) => trace.filter((line) => /^the (first|last) server/.test(line)));
      assert.ok(lines.length >= removalsMin, `${runtime.name}: ${lines.length} scenarios`);
      const reached = ['the first server "hello"', 'the last server "hello from the second"'];
      assert.deepEqual(
        lines.filter((line) => !reached.includes(line)),
        [],
        runtime.name,
      );
    }
  });

  test('what the preload is for: the trace of a start after kill -9 is that of a start on a free address', () => {
    for (const { runtime, plain, preloaded } of runs) {
      const restarted = preloaded['a socket file that a killed server left']!;
      const free = plain['listen(path)']!;
      assert.deepEqual(restarted.filter(ofStart), free.filter(ofStart), runtime.name);
    }
  });
});

test('docs/preload.md gives each difference with its reason', () => {
  const docs = fs.readFileSync(fileURLToPath(new URL('../../../docs/preload.md', import.meta.url)), 'utf8');
  for (const { why } of differences) assert.ok(docs.includes(why), `docs/preload.md lacks: ${why}`);
});

function ofStart(line: string): boolean {
  return /^(state|listen returned|\(listen|server: (listening|error)|client)/.test(line) && !line.includes('"listening":false');
}

function differing(plain: Traces, preloaded: Traces): string[] {
  return Object.keys(plain).filter((name) => JSON.stringify(plain[name]) !== JSON.stringify(preloaded[name]));
}

async function traces({ path }: Runtime, options: readonly string[]): Promise<Traces> {
  // NODE_OPTIONS and REUSEADDR of the tests' own environment would reach both runs.
  const env = { ...process.env, NODE_OPTIONS: '', REUSEADDR: '' };
  delete (env as NodeJS.ProcessEnv)['NODE_TEST_CONTEXT'];
  const { stdout } = await promisify(execFile)(path, [...options, script], { env, maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout) as Traces;
}
