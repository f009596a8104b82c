import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { inodeAt, temporaryDirectory } from '../support/directory.js';
import { fixtureBeside, Program } from '../support/program.js';
import { greeting } from '../support/reach.js';

const fixtures = import.meta.url.replace('/process/', '/handover/');
const program = fixtureBeside(fixtures, 'server.mjs');
const both = { takeover: true, handover: true } as const;

interface Counted {
  readonly outcomes: Readonly<Record<string, number>>;
  readonly servers: number;
}

async function clients(t: TestContext, kinds: readonly (readonly [kind: string, path: string, together?: number])[]) {
  const made = kinds.map(async ([kind, path, together]) => {
    const client = await Program.start(t, { program: fixtureBeside(fixtures, 'client.mjs') });
    await client.ask('start', { kind, path, together });
    return { kind, client };
  });
  return await Promise.all(made);
}

test('G7: 100 handovers in a row between four processes, under a load of six client processes → no connection refused, none reset, no wrong answer', async (t) => {
  const directory = temporaryDirectory(t);
  const addresses = (['net', 'http', 'http2'] as const).map((kind) => ({ kind, address: `${directory}/${kind}` }));
  const servers = await Promise.all(Array.from({ length: 4 }, () => Program.start(t, { program })));
  const take = (server: Program) => Promise.all(addresses.map((one) => server.ask('listen', { ...one, options: both })));
  await take(servers[0]!);
  const inodes = addresses.map(({ address }) => inodeAt(address));

  const load = await clients(t, [
    ['net', `${directory}/net`, 2],
    ['net', `${directory}/net`],
    ['http', `${directory}/http`, 2],
    ['http', `${directory}/http`],
    ['kept', `${directory}/http`],
    ['http2', `${directory}/http2`],
  ]);
  for (let handover = 1; handover <= 100; handover++) await take(servers[handover % 4]!);

  const counted = await Promise.all(load.map(async ({ kind, client }) => ({ kind, ...(await client.ask<Counted>('stop')) })));
  for (const { kind, outcomes, servers: seen } of counted) {
    const { answered = 0, session = 0, refused = 0, ...wrong } = outcomes;
    assert.deepEqual(wrong, {}, kind);
    assert.ok(answered > 0);
    assert.ok(seen > 1, `${kind} was answered by one server only`);
    t.diagnostic(
      `${kind}: ${answered} requests answered by ${seen} processes${session > 0 ? ` in ${session} sessions, ${refused} refused unseen and made again` : ''}`,
    );
  }
  assert.deepEqual(
    addresses.map(({ address }) => inodeAt(address)),
    inodes,
    'the socket files are the same from the first holder to the last',
  );
});

test('a chain of five processes, each takes over from the one before it and that ends → the address always answers, and the last one releases it', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  let holder = await Program.start(t, { program });
  await holder.ask('listen', { address, options: both });
  const [client] = await clients(t, [['net', address]]);
  for (let link = 0; link < 4; link++) {
    const next = await Program.start(t, { program });
    await next.ask('listen', { address, options: both });
    assert.equal(await holder.ask('event', { address, name: 'handover' }), true);
    assert.equal(await holder.end('exit'), 7);
    assert.equal(await greeting(address), String(next.pid));
    holder = next;
  }
  const { outcomes } = await client!.client.ask<Counted>('stop');
  assert.deepEqual(Object.keys(outcomes), ['answered']);
  await holder.ask('release', { address });
  assert.equal(inodeAt(address), undefined);
  assert.equal(inodeAt(`${address}.handover`), undefined);
});

test('two newcomers ask at once, 20 times → one has it from the holder, the other from that one: both get it', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const servers = await Promise.all(Array.from({ length: 3 }, () => Program.start(t, { program })));
  const listen = (server: Program) => server.ask('listen', { address, options: both });
  let holder = servers[0]!;
  await listen(holder);
  for (let round = 0; round < 20; round++) {
    const others = servers.filter((server) => server !== holder);
    await Promise.all(others.map(listen));
    const pid = Number(await greeting(address));
    const handedOver = await Promise.all(servers.map((server) => server.ask<string[]>('events', { address })));
    const left = servers.filter((_server, i) => !handedOver[i]!.includes('handover'));
    assert.deepEqual(
      left.map((server) => server.pid),
      [pid],
    );
    holder = left[0]!;
  }
});
