/** The walk below a directory, while another process exchanges its files. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { pathOf } from '#dist/claim/place.js';
import { walkSockets, type Gate } from '#dist/inspect/walk.js';
import type { OpenFlags } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { leaveStale } from '../cli/support.js';
import { openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

/** `tree/below/app.sock`, and next to the tree `outside/app.sock`. */
function makeTree(t: TestContext): string {
  const directory = temporaryDirectory(t);
  fs.mkdirSync(`${directory}/tree/below`, { recursive: true });
  fs.mkdirSync(`${directory}/outside`);
  for (const each of ['tree/below', 'outside']) leaveStale(`${directory}/${each}/app.sock`);
  return directory;
}

interface Walked {
  readonly visited: readonly string[];
  readonly unlisted: readonly string[];
}

/**
 * The paths that were visited, and the names by which their files could be reached at that moment;
 * all below `directory`.
 */
function walk(directory: string, paths: readonly string[], gate?: Gate): Walked {
  const before = openDescriptors();
  const visited: string[] = [];
  const unlisted = walkSockets(
    paths.map((path) => directory + path),
    (opened, name, named) => {
      const real = fs.readlinkSync(`/proc/self/fd/${opened.fd}`);
      visited.push(`${named ? 'named ' : ''}${pathOf({ directory: opened, name })} in ${real}`.replaceAll(directory, ''));
    },
    gate,
  );
  assert.equal(openDescriptors(), before, 'no descriptor is left open');
  return { visited, unlisted: unlisted.map(({ path, why, reason }) => `${path.replace(directory, '')} ${reason ?? why}`) };
}

/** Does something the first time that this name is opened, before it is. */
function beforeOpening(t: TestContext, opened: string, act: () => void): void {
  const { openat } = kernel;
  let acted = false;
  t.mock.method(kernel, 'openat', (directory: number, name: string, flags: OpenFlags, mode: number) => {
    if (name === opened && !acted) {
      acted = true;
      act();
    }
    return openat(directory, name, flags, mode);
  });
}

for (const where of ['with /proc', 'without /proc'] as const)
  test(
    `a directory is exchanged for a symlink before it is opened, ${where} → it is reported, and nothing outside is visited`,
    onLinux,
    (t) => {
      const directory = makeTree(t);
      if (where === 'without /proc') t.mock.method(kernel, 'readlink', () => 'ENOENT');
      beforeOpening(t, 'below', () => {
        fs.renameSync(`${directory}/tree/below`, `${directory}/away`);
        fs.symlinkSync('../outside', `${directory}/tree/below`);
      });
      assert.deepEqual(walk(directory, ['/tree']), { visited: [], unlisted: ['/tree/below changed'] });
    },
  );

test('a directory is exchanged after it was opened → it is reported, and neither is visited', onLinux, (t) => {
  const directory = makeTree(t);
  const moving: Gate = {
    excludeTree: () => undefined,
    excludeMount() {
      if (!fs.existsSync(`${directory}/away`)) {
        fs.renameSync(`${directory}/tree`, `${directory}/away`);
        fs.symlinkSync('outside', `${directory}/tree`);
      }
      return undefined;
    },
  };
  assert.deepEqual(walk(directory, ['/tree'], moving), { visited: [], unlisted: ['/tree/below changed'] });
});

test('a symlink comes into the path of a socket that was named, after the path was resolved → it is reported', onLinux, (t) => {
  const directory = makeTree(t);
  beforeOpening(t, `${directory}/tree/below`, () => {
    fs.renameSync(`${directory}/tree`, `${directory}/away`);
    fs.mkdirSync(`${directory}/trap`);
    fs.renameSync(`${directory}/outside`, `${directory}/trap/below`);
    fs.symlinkSync('trap', `${directory}/tree`);
  });
  assert.deepEqual(walk(directory, ['/tree/below/app.sock']), { visited: [], unlisted: ['/tree/below/app.sock changed'] });
});

test('a symlink that was named is followed once, one below is not; what was named twice is visited once', onLinux, (t) => {
  const directory = makeTree(t);
  fs.symlinkSync('tree', `${directory}/link`);
  fs.symlinkSync('../outside', `${directory}/tree/link`);
  fs.symlinkSync('../outside/app.sock', `${directory}/tree/socket`);
  assert.deepEqual(walk(directory, ['/link', '/tree', '/tree/socket', '/link/below']), {
    visited: ['/tree/below/app.sock in /tree/below', 'named /outside/app.sock in /outside'],
    unlisted: [],
  });
});

test('a directory that was removed, one for which there is no descriptor, and names that are not there', onLinux, (t) => {
  const directory = makeTree(t);
  fs.mkdirSync(`${directory}/tree/removed`);
  fs.mkdirSync(`${directory}/tree/last`);
  const { openat } = kernel;
  t.mock.method(kernel, 'openat', (at: number, name: string, flags: OpenFlags, mode: number) => {
    if (name === 'removed') fs.rmdirSync(`${directory}/tree/removed`);
    return name === 'last' ? 'EMFILE' : openat(at, name, flags, mode);
  });
  assert.deepEqual(walk(directory, ['/tree', '/none', '/tree/below/app.sock/x']), {
    visited: ['/tree/below/app.sock in /tree/below'],
    unlisted: ['/tree/last EMFILE', '/none ENOENT', '/tree/below/app.sock/x ENOTDIR'],
  });
});

test('a gate refuses a tree → nothing below is visited, also where it is named or begun below', onLinux, (t) => {
  const directory = makeTree(t);
  const tree = fs.statSync(`${directory}/tree`, { bigint: true }).ino;
  const gate: Gate = { excludeTree: ({ ino }) => (ino === tree ? 'wrong' : undefined), excludeMount: () => undefined };
  assert.deepEqual(walk(directory, ['', '/tree/below', '/tree/below/app.sock'], gate), {
    visited: ['/outside/app.sock in /outside'],
    unlisted: ['/tree wrong', '/tree/below wrong', '/tree/below/app.sock wrong'],
  });
});
