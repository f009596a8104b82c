import { test } from 'node:test';
import { socketTypes } from '#dist/address/socketType.js';
import { outsiderTests } from '../claim/outsiders.js';
import { raceOnPath } from '../process/storm.js';
import { receivers, replaceReceivers } from '../run/datagrams.js';
import { needs } from '../support/commands.js';
import { expectToHold } from '../simulation/expect.js';
import { letters, ofTypes, withOutsider } from '../simulation/types.js';

for (const type of socketTypes)
  for (const letter of letters)
    test(`two ${type} processes with two lives each, and ${letter} → the guarantees hold`, async (t) => {
      expectToHold(t, await withOutsider(type, letter, 2));
    });

for (const one of socketTypes)
  for (const other of socketTypes)
    test(`${one} and ${other} at one path, with two lives each → the guarantees hold`, (t) => {
      expectToHold(t, ofTypes([one, other], 2));
      expectToHold(t, ofTypes([one, other], 2, { crashes: 'slowly' }));
    });

for (const type of ['datagram', 'seqpacket'] as const)
  test(`G1, G3: 16 starters at once for a ${type} socket, SIGKILL of the winner between 200 rounds → one winner each`, async (t) => {
    await raceOnPath(t, 200, type);
  });

for (const type of socketTypes)
  for (const other of socketTypes) if (other !== 'stream' || type === 'seqpacket') outsiderTests(type, other);

for (const receiver of Object.keys(receivers) as (keyof typeof receivers)[])
  test(
    `a receiver ${receiver} is replaced 20 times under 1,000 datagrams a second → none is lost, and none is read twice`,
    needs('python3'),
    async (t) => {
      await replaceReceivers(t, receiver, 20);
    },
  );
