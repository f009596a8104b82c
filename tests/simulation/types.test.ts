import { test } from 'node:test';
import { expectToHold } from './expect.js';
import { letters, ofTypes, withOutsider } from './types.js';

// Streams are explored in the other files. The simulated kernel treats seqpacket sockets like them.
// `long/types.test.ts` has more lives.

test('two processes claim datagram sockets, crashing anywhere → the guarantees hold', (t) => {
  expectToHold(t, ofTypes(['datagram', 'datagram'], 2));
});

for (const other of ['datagram', 'seqpacket'] as const)
  test(`one process claims a stream, and one a ${other} socket, at one path → neither takes the other for dead`, (t) => {
    expectToHold(t, ofTypes(['stream', other], 2));
  });

test('a datagram holder is closed one descriptor after another, the lock first → a stream start waits or is refused', (t) => {
  expectToHold(t, ofTypes(['stream', 'datagram'], 2, { crashes: 'slowly' }));
});

for (const letter of letters)
  test(`a datagram socket, and a program without locks (${letter}) → the guarantees hold`, async (t) => {
    expectToHold(t, await withOutsider('datagram', letter, 1));
  });

for (const letter of ['D', 'E'] as const)
  test(`a stream, and a program that binds a datagram socket without the lock (${letter}) → the guarantees hold`, async (t) => {
    expectToHold(t, await withOutsider('stream', letter, 1));
  });
