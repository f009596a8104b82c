import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onLinux } from '../support/privileges.js';

/**
 * The tests that go through every function of the addon, its threads, and what happens to them at
 * the end of a worker.
 */
const suites = [
  'kernel/posix.test.js',
  'kernel/message.test.js',
  'kernel/wait.test.js',
  'kernel/watch.test.js',
  'kernel/watchTimer.test.js',
  'kernel/connect.test.js',
  'kernel/descriptors.test.js',
  'kernel/peers.test.js',
  'kernel/addon.test.js',
];

const root = fileURLToPath(new URL('../../..', import.meta.url));

function libraryOf(name: string): string {
  return spawnSync('cc', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();
}

test(
  'the addon with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer → no error, and no leak of its own',
  onLinux,
  (t: TestContext) => {
    const work = fs.mkdtempSync('/var/tmp/reuseaddr-');
    t.after(() => fs.rmSync(work, { recursive: true, force: true }));
    // A copy of what was built. Without the packages of other tests, which may be installing them
    // just now.
    const filter = (from: string): boolean => !basename(from).startsWith('node_modules');
    for (const part of ['package.json', 'dist', 'build/tests', 'tests', 'native'])
      fs.cpSync(`${root}/${part}`, `${work}/${part}`, { recursive: true, filter });
    fs.symlinkSync(`${root}/node_modules`, `${work}/node_modules`);
    const addon = `${work}/reuseaddr.node`;
    const sources = fs.readdirSync(`${work}/native`).filter((file) => file.endsWith('.c'));
    const compiled = spawnSync(
      'cc',
      [
        '-std=c11',
        '-O1',
        '-g',
        '-fPIC',
        '-fno-omit-frame-pointer',
        '-fsanitize=address,undefined',
        '-fno-sanitize-recover=undefined',
      ]
        .concat('-shared', '-Wl,-z,nodelete', '-I', `${root}/node_modules/node-api-headers/include`, '-o', addon)
        .concat(sources.map((file) => `${work}/native/${file}`)),
      { encoding: 'utf8' },
    );
    assert.equal(compiled.status, 0, compiled.stderr);
    const env = {
      ...process.env,
      REUSEADDR_ADDON: addon,
      LD_PRELOAD: [libraryOf('libasan.so'), libraryOf('libubsan.so')].join(':'),
      // Node itself never frees much at its end, so what is leaked is judged below by who had asked
      // for it.
      ASAN_OPTIONS: `detect_leaks=1:log_path=${work}/report:exitcode=0:detect_stack_use_after_return=1`,
      LSAN_OPTIONS: `exitcode=0:max_leaks=0`,
      UBSAN_OPTIONS: `print_stacktrace=1:log_path=${work}/undefined`,
      NODE_TEST_CONTEXT: undefined,
    };
    const ran = spawnSync(process.execPath, ['--test', '--test-reporter=tap', ...suites], {
      cwd: `${work}/build/tests`,
      env,
      encoding: 'utf8',
    });
    const reports = fs.readdirSync(work).filter((file) => /^(report|undefined)\./.test(file));
    const blocks = reports.flatMap((file) => fs.readFileSync(`${work}/${file}`, 'utf8').split('\n\n'));
    // A leak is the addon's own if the addon is what called the allocator.
    const ours = blocks.filter(
      (block) => /ERROR: AddressSanitizer|runtime error:/.test(block) || /#1 .*(native\/\w+\.c:|reuseaddr\.node)/.test(block),
    );
    assert.deepEqual(ours, []);
    const passed = Number(/^# pass (\d+)$/m.exec(ran.stdout)?.[1] ?? -1);
    const failed = ran.stdout.split('\n').filter((line) => line.includes('not ok'));
    t.diagnostic(`${passed} tests passed under the sanitizers, ${reports.length} reports read, none about the addon`);
    assert.deepEqual(failed, [], ran.stdout);
    assert.ok(passed > 50 && reports.length > 0, `it ran: ${ran.stderr}`);
  },
);
