import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { inodeAt, temporaryDirectory } from '../support/directory.js';
import { fixtureBeside, Program } from '../support/program.js';
import { greeting } from '../support/reach.js';
import { until } from '../support/waits.js';

const program = fixtureBeside(import.meta.url.replace('/process/', '/handover/'), 'server.mjs');
const both = { takeover: true, handover: true } as const;

/** The text for an answer that did not come. */
function hasExited(failure: unknown): false {
  assert.equal((failure as NodeJS.ErrnoException).code, 'EXITED');
  return false;
}

/** proc(5), stat: the state comes after the name in parentheses. */
function isStopped(pid: number): boolean {
  return / T [^)]*$/.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
}

async function holding(t: TestContext) {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const [holder, newcomer] = await Promise.all([Program.start(t, { program }), Program.start(t, { program })]);
  await holder.ask('listen', { address, options: both });
  return { address, holder, newcomer };
}

/**
 * It is the one holder, it accepts, and a third process can take over from it: whatever was shared
 * is whole.
 */
async function assertHolds(holder: Program, address: string, third: Program): Promise<void> {
  assert.equal(await greeting(address), String(holder.pid));
  const { code, reason } = await third.refused('listen', { address });
  assert.deepEqual({ code, reason }, { code: 'EADDRINUSE', reason: 'held' });
  await third.ask('listen', { address, options: both });
  assert.equal(await greeting(address), String(third.pid));
  await third.ask('release', { address });
  assert.deepEqual([inodeAt(address), inodeAt(`${address}.handover`)], [undefined, undefined]);
}

test('the newcomer is killed before each of its system calls → the holder continues; after the last: it is the holder', async (t) => {
  const third = await Program.start(t, { program });
  const address = `${temporaryDirectory(t)}/app.sock`;
  const holder = await Program.start(t, { program });
  let [steps, kept, hole] = [0, 0, 0];
  for (let survived = false; !survived; steps++) {
    const newcomer = await Program.start(t, { program });
    await holder.ask('listen', { address, options: both });
    await newcomer.ask('signalBeforeStep', { step: steps, signal: 'SIGKILL' });
    survived = await newcomer.ask('listen', { address, options: both }).then(() => true, hasExited);
    await holder.ask('settled');
    if (survived) await assertHolds(newcomer, address, third);
    else if ((await holder.ask<string[]>('events', { address })).includes('handover')) {
      // It had said that it is ready, the holder believed it, and then it died. This can't be told
      // from an ordinary crash.
      hole++;
      await third.ask('listen', { address, options: both });
      await third.ask('release', { address });
    } else {
      kept++;
      await assertHolds(holder, address, third);
    }
    await newcomer.kill();
  }
  assert.ok(kept > 10 && steps > kept);
  t.diagnostic(
    `killed before ${steps - 1} system calls: ${kept} times the holder went on, ${hole} times it had handed over already`,
  );
});

test('the holder is killed before each of its system calls → the newcomer is the holder', async (t) => {
  const third = await Program.start(t, { program });
  let steps = 0;
  for (let survived = false; !survived; steps++) {
    const { address, holder, newcomer } = await holding(t);
    await holder.ask('signalBeforeStep', { step: steps, signal: 'SIGKILL' });
    await newcomer.ask('listen', { address, options: both });
    survived = await holder.ask('ping').then(() => true, hasExited);
    await assertHolds(newcomer, address, third);
    await Promise.all([holder.kill(), newcomer.kill()]);
  }
  assert.ok(steps > 5);
  t.diagnostic(`killed before ${steps - 1} system calls`);
});

test('the newcomer is stopped before it says that it is ready, until the holder takes the offer back → the holder continues to serve, and hands over when the newcomer continues', async (t) => {
  const { address, holder, newcomer } = await holding(t);
  const third = await Program.start(t, { program });
  const withdrawn = holder.ask('sent', { text: 'abort' });
  await holder.ask('ping');
  await newcomer.ask('signalBeforeMessage', { text: 'ready', signal: 'SIGSTOP' });
  const taken = newcomer.ask('listen', { address, options: { ...both, takeover: 60_000 } });
  await withdrawn;
  // Both accept while the newcomer has its share, and a stopped one leaves its accepted connections
  // unanswered: this asks no server.
  const { reason } = await third.refused('listen', { address });
  assert.equal(reason, 'held');
  newcomer.signal('SIGCONT');
  await taken;
  assert.equal(await holder.ask('event', { address, name: 'handover' }), true);
  await assertHolds(newcomer, address, third);
});

test('the newcomer is stopped after the holder has taken the offer back, and is killed → the holder hands over to the next', async (t) => {
  const { address, holder, newcomer } = await holding(t);
  const third = await Program.start(t, { program });
  const withdrawn = holder.ask('sent', { text: 'abort' });
  await holder.ask('ping');
  await newcomer.ask('signalBeforeMessage', { text: 'ready', signal: 'SIGSTOP' });
  const taken = newcomer.refused('listen', { address, options: both });
  await withdrawn;
  const waits = third.ask('listen', { address, options: { ...both, takeover: 60_000 } });
  newcomer.signal('SIGKILL');
  assert.equal((await taken).code, 'EXITED');
  await waits;
  assert.equal(await greeting(address), String(third.pid));
});

for (const [action, name] of [
  ['release', 'claim.release()'],
  ['close', 'server.close()'],
  ['exit', 'process.exit()'],
] as const) {
  test(`${name} of the holder while an offer is out → nothing is unlinked, and the newcomer is the holder`, async (t) => {
    const { address, holder, newcomer } = await holding(t);
    const third = await Program.start(t, { program });
    const inode = inodeAt(address);
    await newcomer.ask('signalBeforeMessage', { text: 'ready', signal: 'SIGSTOP' });
    const offered = holder.ask('sent', { text: 'offer' });
    await holder.ask('ping'); // It has heard that, and misses no offer.
    const taken = newcomer.ask('listen', { address, options: both });
    await offered;
    await until(() => isStopped(newcomer.pid)); // Sooner, SIGCONT would be lost.
    if (action === 'exit') assert.equal(await holder.end(action), 7);
    else await holder.ask(action, { address });
    assert.equal(inodeAt(address), inode);
    newcomer.signal('SIGCONT');
    await taken;
    assert.match(fs.readFileSync(`${address}.lock`, 'utf8'), new RegExp(`"pid":${newcomer.pid},`));
    if (action !== 'exit') assert.deepEqual(await holder.ask('events', { address }), []);
    await assertHolds(newcomer, address, third);
  });
}
