import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { inspect as inspectValue } from 'node:util';
import { claim, connect, inspect, listen, peerCredentials, SocketAddressError } from 'reuseaddr';
import { temporaryDirectory } from '../support/directory.js';

/** The first line of a stack below the message. */
function firstFrame(error: unknown): string {
  assert.ok(error instanceof SocketAddressError, String(error));
  return /^ {4}at .*$/m.exec(error.stack ?? '')?.[0] ?? '';
}

async function thrownBy(call: () => unknown): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return undefined;
}

test('a call fails, at once or after a wait → the stack begins where the program called, and not in this package', async (t) => {
  const directory = temporaryDirectory(t);
  const address = `${directory}/app.sock`;
  const held = await claim(address);
  t.after(() => held.release());
  const calls: Readonly<Record<string, () => unknown>> = {
    claim: async () => await claim(address),
    'claim, after a wait': async () => await claim(address, { wait: 5 }),
    listen: async () => await listen(http.createServer(), address),
    'listen, a bad option': async () => await listen(http.createServer(), address, { mode: 1e9 }),
    'listen, no server': async () => await listen({} as never, address),
    inspect: async () => await inspect(''),
    connect: async () => await connect(`${directory}/none`, { timeout: 0 }),
    'connect, after a wait': async () => await connect(`${directory}/none`, { timeout: 5 }),
    peerCredentials: () => peerCredentials(new net.Socket()),
    'peerCredentials, no connection': () => peerCredentials({} as never),
  };
  for (const [name, call] of Object.entries(calls)) assert.match(firstFrame(await thrownBy(call)), /stack\.test\.js/, name);
});

test('the program does not await the promise → the stack is that of the failure, and not empty', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(address);
  t.after(() => held.release());
  const error = await new Promise((resolve) => void claim(address, { wait: 1 }).catch(resolve));
  assert.match(firstFrame(error), /^ {4}at /);
});

test('an error of another copy of this package → instanceof holds, in both directions, and for no other error', () => {
  const brand = Symbol.for('reuseaddr.SocketAddressError');
  class Other extends Error {}
  Object.defineProperty(Other.prototype, brand, { value: true });
  assert.ok(new Other('from another copy') instanceof SocketAddressError);
  assert.ok(brand in SocketAddressError.prototype);
  for (const value of [new Error('no'), {}, null, undefined, 'text', { code: 'EADDRINUSE' }]) {
    assert.equal((value as object) instanceof SocketAddressError, false);
  }
  class Derived extends SocketAddressError {}
  assert.equal(Object.create(SocketAddressError.prototype) instanceof Derived, false);
});

test('an error is printed, or made JSON → Node’s fields, reason and holder, and nothing internal', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(address);
  t.after(() => held.release());
  const error = await thrownBy(async () => await claim(address));
  assert.ok(error instanceof SocketAddressError);
  assert.deepEqual(Object.keys(error).sort(), ['address', 'code', 'errno', 'holder', 'reason', 'syscall']);
  assert.deepEqual(Object.keys(JSON.parse(JSON.stringify(error)) as object).sort(), Object.keys(error).sort());
  assert.equal(error.name, 'SocketAddressError');
  assert.ok(error.message.startsWith(error.shortMessage) && error.message !== error.shortMessage);
});

test('an error is printed, as console.log does or at the end of the process → under its name, and not that of a bundler', () => {
  const printed = inspectValue(peerCredentialsError());
  assert.match(printed, /^SocketAddressError: Cannot tell/);
  assert.equal(SocketAddressError.name, 'SocketAddressError');
});

function peerCredentialsError(): unknown {
  try {
    return peerCredentials(new net.Socket());
  } catch (error) {
    return error;
  }
}
