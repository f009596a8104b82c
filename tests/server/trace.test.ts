import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import diagnostics from 'node:diagnostics_channel';
import fs from 'node:fs';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { inspect as show } from 'node:util';
import { claim, listen, SocketAddressError, type DiagnosticsChannels, type DiagnosticsTracing } from 'reuseaddr';
import { abstractName } from '../support/abstract.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';
import { Program } from '../support/program.js';
import { greeting } from '../support/reach.js';

/** The messages of a channel while a test runs. */
function heardOn<Name extends keyof DiagnosticsChannels>(t: TestContext, name: Name): DiagnosticsChannels[Name][] {
  const heard: DiagnosticsChannels[Name][] = [];
  const listener = (message: unknown): void => void heard.push(message as DiagnosticsChannels[Name]);
  diagnostics.subscribe(name, listener);
  t.after(() => diagnostics.unsubscribe(name, listener));
  return heard;
}

interface Traced<Context> {
  readonly event: string;
  readonly context: Context & { readonly error?: unknown; readonly result?: unknown };
}

/** The events of a tracing channel while a test runs. */
function tracedOn<Name extends keyof DiagnosticsTracing>(t: TestContext, name: Name): Traced<DiagnosticsTracing[Name]>[] {
  const heard: Traced<DiagnosticsTracing[Name]>[] = [];
  for (const event of ['start', 'end', 'asyncStart', 'asyncEnd', 'error']) {
    const channel = `tracing:${name}:${event}`;
    const listener = (context: unknown): void => void heard.push({ event, context: context as never });
    diagnostics.subscribe(channel, listener);
    t.after(() => diagnostics.unsubscribe(channel, listener));
  }
  return heard;
}

test('a claim is made, refused and released → the channels tell of each, once', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const [refusals, releases, claims] = [
    heardOn(t, 'reuseaddr.refusal'),
    heardOn(t, 'reuseaddr.release'),
    tracedOn(t, 'reuseaddr.claim'),
  ];
  const held = await claim(address);
  assert.deepEqual(
    claims.splice(0).map(({ event, context }) => [event, context.address, context.result]),
    ['start', 'end', 'asyncStart', 'asyncEnd'].map((event) => [event, address, undefined]),
  );
  const error: unknown = await listen(net.createServer(), address).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof SocketAddressError);
  assert.deepEqual(
    refusals.map((refusal) => [refusal.address, refusal.error === error]),
    [[address, true]],
  );
  assert.deepEqual(
    claims.map(({ event }) => event),
    ['start', 'end', 'error', 'asyncStart', 'asyncEnd'],
  );
  assert.equal(claims.at(-1)?.context.error, error);
  assert.deepEqual(releases, []);
  await held.release();
  await held.release();
  assert.deepEqual(releases, [{ address }]);
});

test('a start waits → the channel of waits says for which process, and when it has ended', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const waits = tracedOn(t, 'reuseaddr.wait');
  const holder = await Program.start(t);
  await holder.ask('listen', { address });
  const waiting = claim(address, { wait: true });
  while (waits.length < 2) await new Promise(setImmediate);
  assert.deepEqual(
    waits.map(({ event }) => event),
    ['start', 'end'],
  );
  assert.deepEqual([waits[0]!.context.reason, waits[0]!.context.holder?.pid], ['held', holder.pid]);
  await holder.kill();
  const held = await waiting;
  assert.deepEqual(
    waits.map(({ event }) => event),
    ['start', 'end', 'asyncStart', 'asyncEnd'],
  );
  await held.release();
});

test('a takeover, and a handover → the channels of both sides tell of it; where none is served, why not', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const [takeovers, handovers] = [tracedOn(t, 'reuseaddr.takeover'), heardOn(t, 'reuseaddr.handover')];
  const holder = await Program.start(t);
  await holder.ask('listen', { address, options: { handover: true } });
  const held = await claim(address, { takeover: true, handover: true });
  assert.deepEqual(
    takeovers.map(({ event }) => event),
    ['start', 'end', 'asyncStart', 'asyncEnd'],
  );
  assert.deepEqual([takeovers.at(-1)?.context.address, takeovers.at(-1)?.context.outcome], [address, 'taken']);
  assert.deepEqual(handovers, []);
  const given = new Promise((resolve) => void held.once('handover', () => resolve(undefined)));
  const successor = await Program.start(t);
  await successor.ask('listen', { address, options: { takeover: true } });
  await given;
  assert.deepEqual(handovers, [{ address }]);
  takeovers.length = 0;
  await assert.rejects(claim(address, { takeover: true }), { reason: 'held' });
  assert.equal(takeovers.at(-1)?.context.outcome, 'unserved');
});

test('a socket file is removed, and a peer is denied → the channels tell of it', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const [displacements, denials] = [heardOn(t, 'reuseaddr.displacement'), heardOn(t, 'reuseaddr.denial')];
  const held = await listen(net.createServer(), address, { allow: () => false });
  t.after(() => held.release());
  await greeting(address).catch(() => undefined);
  while (held.deniedCount === 0) await new Promise(setImmediate);
  assert.deepEqual(
    denials.map(({ address: at, peer }) => [at, peer?.pid]),
    [[address, process.pid]],
  );
  const displaced = new Promise((resolve) => void held.once('displaced', resolve));
  fs.unlinkSync(address);
  await displaced;
  assert.deepEqual(displacements, [{ address, what: 'socket' }]);
});

const program = `
  import net from 'node:net';
  import { claim } from 'reuseaddr';
  const [address] = process.argv.slice(1);
  const held = await claim(address);
  await claim(address).catch(() => undefined);
  await claim(address, { takeover: true }).catch(() => undefined);
  const waiting = claim(address, { wait: true });
  await new Promise(setImmediate);
  await held.release();
  await (await waiting).release();
`;

test('NODE_DEBUG=reuseaddr → stderr says why each start waits, is refused, or was not handed over; without it, nothing', (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const run = (NODE_DEBUG: string): string[] => {
    const { PATH } = process.env;
    const args = ['--input-type=module', '-e', program, address];
    const script = `exec 2>&1; exec "$0" "$@"`;
    const output = execFileSync('/bin/sh', ['-c', script, process.execPath, ...args], {
      encoding: 'utf8',
      env: { PATH, NODE_DEBUG },
    });
    return output.split('\n').filter((line) => line !== '');
  };
  assert.deepEqual(run(''), []);
  const lines = run('reuseaddr');
  const holds = 'this very process \\(\\d+\\) has held it since \\d\\d:\\d\\d';
  const expected = [
    'is claimed',
    `was refused, because ${holds}`,
    `asks for a handover, because ${holds}`,
    'was not handed over: unserved',
    `was refused, because ${holds}\\. It serves no handovers`,
    `waits, because ${holds}`,
    'is released',
    'is claimed',
    'is released',
  ];
  assert.equal(lines.length, expected.length, lines.join('\n'));
  for (const [index, line] of lines.entries()) {
    assert.match(line, new RegExp(`^REUSEADDR \\d+: ${address}: ${expected[index]}$`));
  }
});

test('a claim is printed, or made JSON → its address, descriptor, lock file and state', onLinux, async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(address);
  const state = { released: false, displaced: false, inherited: false, deniedCount: 0 };
  const summary = { address, fd: held.fd, lockPath: `${address}.lock`, ...state };
  assert.deepEqual(JSON.parse(JSON.stringify(held)), summary);
  assert.equal(show(held), `Claim ${show(summary)}`);
  fs.unlinkSync(address);
  assert.equal(held.toJSON().displaced, true);
  await held.release();
  assert.deepEqual(held.toJSON(), { ...summary, released: true });
  const abstract = await claim(abstractName().address);
  assert.ok(!('lockPath' in abstract.toJSON()));
  await abstract.release();
});
