/**
 * `npm run demo`: real HTTP servers and clients, each in a process of its own. First `reuseaddr`,
 * on a pathname and on an abstract name; then the same script with the three usual schemes. Exits
 * with status 1 unless everything happened as the table says.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Scheme } from './messages.js';
import { expected, schemes, steps, type Outcomes } from './outcomes.js';
import { killAll, processesStarted } from './processes.js';
import { runInspect, runScript } from './script.js';
import { runService } from './service.js';
import { printEnd, printHeading, printStep, printTable, printTitle } from './terminal.js';

/** Only a demo that hangs reaches it. */
const hangMs = 60_000;

const headings: Record<Scheme, string> = {
  reuseaddr: 'listen(server, path)',
  plain: 'server.listen(path)',
  'unlink first': 'unlink(path), then server.listen(path)',
  'probe, unlink': 'in use, and no answer? unlink(path), try again',
};

const startMs = performance.now();
const folder = mkdtempSync(join(tmpdir(), 'reuseaddr-'));
const watchdog = setTimeout(() => {
  printEnd([`the demo hung for ${hangMs / 1000} seconds`], '');
  process.exit(1);
}, hangMs);
watchdog.unref();
process.on('exit', () => {
  killAll();
  rmSync(folder, { recursive: true, force: true });
});

// Makes the lines above run: by default a signal, or a reader that is gone (`npm run demo | head`),
// would skip them.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.stdout.once('error', () => process.exit(1));

const failures: string[] = [];
const results: Partial<Record<Scheme, Outcomes>> = {};

function compare(name: string, outcomes: Outcomes, wanted: Outcomes): void {
  for (const step of steps) {
    if (outcomes[step] === wanted[step]) continue;
    failures.push(`${name}, ${step.trim()}: ${outcomes[step] ?? 'nothing'} instead of ${wanted[step] ?? 'nothing'}`);
  }
}

async function demonstrate(scheme: Scheme): Promise<void> {
  printHeading(scheme, headings[scheme]);
  const address = join(folder, 'app.sock');
  for (const file of readdirSync(folder)) rmSync(join(folder, file));
  const outcomes = await runScript(scheme, address);
  results[scheme] = outcomes;
  compare(scheme, outcomes, expected[scheme]);
  if (scheme === 'reuseaddr') failures.push(...(await runInspect(address)));
}

async function demonstrateAbstract(): Promise<void> {
  printHeading('reuseaddr', 'listen(server, "@name"): no file, and no lock');
  if (process.platform !== 'linux') {
    printStep('start', true, 'left out: abstract names exist on Linux only');
    return;
  }
  const name = `@reuseaddr-demo-${process.pid}`;
  const { stray: _, 'regular file': __, ...wanted } = expected.reuseaddr;
  compare('abstract name', await runScript('reuseaddr', name), wanted);
}

printTitle(
  'A server dies by kill -9. Can it start again? Can another take its address?',
  'Every server, client and stray is a process of its own. A stray is a live server that uses no lock.',
);
try {
  for (const scheme of schemes) {
    await demonstrate(scheme);
    if (scheme === 'reuseaddr') {
      await demonstrateAbstract();
      printHeading('reuseaddr', 'beyond a start');
      failures.push(...(await runService(join(folder, 'service.sock'))));
    }
  }
  printTable(results);
} catch (error) {
  failures.push(error instanceof Error ? error.message : String(error));
}
const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
printEnd(failures, `${processesStarted()} processes, ${seconds} s.`);
process.exit(failures.length === 0 ? 0 : 1);
