/** The schedules that docs/protocol.md shows, one system call at a time on the real kernel. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import { acquire, type PathnameClaim } from '#dist/claim/acquire.js';
import type { Place } from '#dist/claim/place.js';
import { isRefusal, type Refusal } from '#dist/claim/refusal.js';
import { release } from '#dist/claim/release.js';
import { perform, run, type SystemCall } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { inodeAt, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { placeAt } from '../support/place.js';

const terms = { mode: 0o600, backlog: 16, record: '{"reuseaddr":1,"pid":1}\n' };

/** A process that makes one system call at a time. */
class Starter {
  readonly #operation;
  #next: IteratorResult<SystemCall, PathnameClaim | Refusal>;

  constructor(place: Place) {
    this.#operation = acquire(place, terms);
    this.#next = this.#operation.next();
  }

  /** Continues until the next call is this one, of this name. */
  stopBefore(name: SystemCall['name'], file: string): void {
    while (this.#next.done !== true && !(this.#next.value.name === name && this.#next.value.args[1] === file)) this.#step();
    assert.ok(this.#next.done !== true, `it never came to ${name} ${file}`);
  }

  end(): PathnameClaim | Refusal {
    while (this.#next.done !== true) this.#step();
    return this.#next.value;
  }

  #step(): void {
    if (this.#next.done !== true) this.#next = this.#operation.next(perform(kernel, this.#next.value));
  }
}

/**
 * A stale socket at P, B past its lock and its proof, and A the holder: the lock file was unlinked
 * between the two.
 */
function removeLockBetweenTwoStarters(t: TestContext): { place: Place; b: Starter; claimA: PathnameClaim } {
  const directory = temporaryDirectory(t);
  const place = placeAt(`${directory}/app.sock`);
  const dead = kernel.socket();
  assert.ok(typeof dead === 'number');
  kernel.bind(dead, place.path);
  kernel.close(dead);

  const a = new Starter(place);
  a.stopBefore('fstatat', place.aside.name); // In "recover": "compare" held.
  fs.unlinkSync(place.lockPath);
  const b = new Starter(place);
  b.stopBefore('renameat2', place.name); // In "remove": the first proof held.
  const claimA = a.end();
  assert.ok(!isRefusal(claimA), 'A holds the address');
  t.after(() => run(kernel, release(place, claimA)));
  return { place, b, claimA };
}

test('a lock file is removed between two starters → the slower one puts the live socket back, and is refused', onLinux, (t) => {
  const { place, b, claimA } = removeLockBetweenTwoStarters(t);
  const refused = b.end();
  assert.ok(isRefusal(refused));
  assert.equal(refused.refused, 'stray');
  assert.equal(inodeAt(place.path), claimA.identity.ino, 'A has its name again');
});

test(
  '… and a stranger binds the name in that moment → the live socket stays aside, reported and not unlinked',
  onLinux,
  async (t) => {
    const { place, b, claimA } = removeLockBetweenTwoStarters(t);
    b.stopBefore('fstatat', place.aside.name); // Again, after the rename.
    const stranger = createServer();
    await new Promise<void>((resolve) => {
      stranger.listen(place.path, resolve);
    });
    t.after(() => stranger.close());
    const refused = b.end();
    assert.ok(isRefusal(refused));
    assert.equal(refused.refused, 'aside-occupied');
    assert.equal(inodeAt(place.asidePath), claimA.identity.ino);
    assert.ok(fs.lstatSync(place.path).isSocket(), 'the stranger has the name');
  },
);
