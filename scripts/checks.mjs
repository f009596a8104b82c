/**
 * The checks that need no test to run: format, lint, prose, unused code, and the package as it
 * would be published.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkProse } from './prose.mjs';
import { root, run, runTool, step } from './step.mjs';

/** Rewrites every file in the project's format. */
export const format = () => runTool('oxfmt/bin/oxfmt');

/** Lints with type information. Needs `dist/`, because tests import the built package. */
export const lint = () => runTool('oxlint/bin/oxlint', '--type-aware', '--deny-warnings', '--report-unused-disable-directives');

const checkFormat = () => runTool('oxfmt/bin/oxfmt', '--check');
const checkUnused = () => runTool('knip/bin/knip.js', '--no-progress');

/** Packs the package once, and runs publint and attw on that very file. */
async function checkPackage() {
  const folder = mkdtempSync(join(tmpdir(), 'reuseaddr-pack-'));
  try {
    await run(process.execPath, [join(root, 'scripts/pack.mjs'), '--built', '--destination', folder]);
    const [tarball] = readdirSync(folder).map((file) => join(folder, file));
    await runTool('publint/src/cli.js', tarball, '--strict');
    await runTool('@arethetypeswrong/cli/dist/index.js', tarball);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Runs all checks, the cheapest first and two at a time. Throws after all have been reported if one
 * failed.
 */
export async function runChecks() {
  const waiting = [
    ['format', checkFormat],
    ['lint', lint],
    ['prose', checkProse],
    ['unused code', checkUnused],
    ['package (publint, attw)', checkPackage],
  ];
  const failures = [];
  const takeTurns = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      await step(...next).catch((error) => failures.push(error));
    }
  };
  await Promise.all([takeTurns(), takeTurns()]);
  if (failures.length > 0) throw failures[0];
}
