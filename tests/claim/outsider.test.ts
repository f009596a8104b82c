import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { acquire } from '#dist/claim/acquire.js';
import { lock } from '#dist/claim/lock.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { release } from '#dist/claim/release.js';
import { AT_FDCWD, run, type Kernel } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';
import { temporaryDirectory } from '../support/directory.js';
import { placeAt } from '../support/place.js';
import { bindSocket, outsiderTests, terms } from './outsiders.js';

outsiderTests('stream', 'stream');
// The other seven pairs: tests/long/types.test.ts.
outsiderTests('datagram', 'stream');

/**
 * The real kernel, with something that happens while the protocol rests for the `nth` time, from 0.
 */
function whileResting(nth: number, act: () => void): Kernel {
  let rests = 0;
  const sleep = (): 0 => {
    if (rests++ === nth) act();
    return 0;
  };
  return new Proxy(kernel, { get: (real, name: keyof Kernel) => (name === 'sleep' ? sleep : real[name]) });
}

for (const rest of [0, 4]) {
  test(`G3: the holder is being killed and has closed its lock, its socket only at our rest ${rest} → the start waits for that`, (t) => {
    const place = placeAt(`${temporaryDirectory(t)}/app.sock`);
    const claim = run(whileResting(rest, bindSocket(place.path)), acquire(place, terms));
    assert.ok(!isRefusal(claim), inspect(claim));
    run(kernel, release(place, claim));
  });

  test(`G3: a cleaner has the lock file locked while it looks at its age, until our rest ${rest} → the start succeeds`, (t) => {
    const place = placeAt(`${temporaryDirectory(t)}/app.sock`);
    const cleaner = run(kernel, lock(place, false));
    assert.ok(typeof cleaner === 'number');
    const claim = run(
      whileResting(rest, () => kernel.close(cleaner)),
      acquire(place, terms),
    );
    assert.ok(!isRefusal(claim), inspect(claim));
    run(kernel, release(place, claim));
  });
}

test('the path may not be followed any more, after its directory was opened → EACCES, and not that the directory moved', (t) => {
  const place = placeAt(`${temporaryDirectory(t)}/app.sock`);
  const denied: Partial<Kernel> = {
    bind: () => 'EACCES',
    fstatat: (directory, name) => (directory === AT_FDCWD ? 'EACCES' : kernel.fstatat(directory, name)),
  };
  const claim = run({ ...kernel, ...denied }, acquire(place, terms));
  assert.ok(isRefusal(claim), inspect(claim));
  assert.deepEqual([claim.refused, claim.errno, claim.syscall], ['system', 'EACCES', 'bind']);
});
