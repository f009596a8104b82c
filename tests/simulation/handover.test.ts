import { AT_FDCWD } from '#dist/kernel/kernel.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Conversation, SystemCall } from '#dist/kernel/kernel.js';
import { exploreHandover } from './handoverExplore.js';
import { call, Leave, place, type Change, type Changes, type Types } from './handoverLives.js';
import { handoverScenario } from './handoverScenario.js';

const handoverPath = `${place.path}.handover`;

const scenarios = {
  'a holder and a newcomer that tries twice, every crash': () => handoverScenario(1, 2),
  'a holder and two newcomers, one of which may die': () => handoverScenario(2, 1, {}, 'B'),
  'a holder and a newcomer, and a program that removes the socket file': () =>
    handoverScenario(1, 1, {}, 'AB', () => call('unlinkat', AT_FDCWD, place.path)),
  'a holder of a datagram socket and a newcomer that tries twice, every crash': () =>
    handoverScenario(1, 2, {}, 'ABC', undefined, { holder: 'datagram', newcomers: 'datagram' }),
  'a holder of a stream and a newcomer that wants a datagram socket, every crash': () =>
    handoverScenario(1, 2, {}, 'ABC', undefined, { newcomers: 'datagram' }),
  'a holder and a newcomer, and a program that binds the name of the handover socket and offers nothing': () =>
    handoverScenario(1, 1, {}, 'AB', liar),
} as const;

/** Another user, in a directory that it may write to. */
function* liar(): Conversation<unknown> {
  yield* call('unlinkat', AT_FDCWD, handoverPath);
  const fd = yield* call('socket');
  yield* call('bind', fd, handoverPath);
  yield* call('listen', fd, 8);
  const connection = yield* call('accept', fd);
  if (typeof connection !== 'number') return undefined;
  yield* call('sendmsg', connection, 'reuseaddr 1 offer 1 1\n', [fd, fd, fd]);
  yield* call('sendmsg', connection, 'reuseaddr 1 done\n', []);
  return undefined;
}

for (const [name, scenario] of Object.entries(scenarios)) {
  test(`${name} → the lock is never free in between, a process always accepts, none unlinks, there is one holder, and a start succeeds afterwards`, (t) => {
    const { states, transitions, steps, violation } = exploreHandover(scenario());
    assert.equal(violation, undefined, violation && `${violation.what}\n${violation.schedule}\n${violation.told.join('\n')}`);
    t.diagnostic(`${states} states, ${transitions} transitions, at most ${steps} steps`);
  });
}

function says(pending: SystemCall, text: string): boolean {
  return pending.name === 'sendmsg' && pending.args[1].includes(text);
}

/** As if the call had worked. */
const skipped = 20;

const mutants: Readonly<
  Record<string, { readonly breaks: RegExp; readonly newcomers?: number; readonly types?: Types; readonly changes: Changes }>
> = {
  'the deadline closes the connection without ABORT': {
    breaks: /both are the holder|unlinks/,
    changes: {
      offer: (_offered, connection) =>
        function* (pending, make) {
          if (!says(pending, 'abort')) return yield* make();
          yield* call('close', connection);
          throw new Leave('kept');
        },
    },
  },
  'ABORT, and no wait for the newcomer to go': {
    breaks: /more than two processes/,
    newcomers: 2,
    changes: {
      offer: (_offered, connection) =>
        function* (pending, make) {
          if (!says(pending, 'abort')) return yield* make();
          yield* make();
          yield* call('close', connection);
          throw new Leave('kept');
        },
    },
  },
  'more than one offer at a time': { breaks: /more than two processes/, newcomers: 2, changes: { twoOffers: true } },
  'a release unlinks while an offer is out': { breaks: /unlinks/, changes: { unlinkWhenAbandoned: true } },
  'the newcomer holds, and releases, before DONE': {
    breaks: /both are the holder/,
    changes: {
      request: () => {
        let ready = false;
        return function* (pending, make) {
          if (ready && pending.name === 'poll') return 0;
          if (ready && pending.name === 'recvmsg') return { text: 'reuseaddr 1 done\n', fds: [] };
          ready ||= says(pending, 'ready');
          return yield* make();
        };
      },
    },
  },
  'no second receive after READY': {
    breaks: /had died when it was read/,
    changes: {
      offer: () => {
        let ready = false;
        return function* (pending, make) {
          if (ready && pending.name === 'recvmsg') return 'EAGAIN';
          const answer = yield* make();
          ready ||= typeof answer === 'object' && JSON.stringify(answer).includes('ready');
          return answer;
        };
      },
    },
  },
  'the old one keeps the lock until it has drained': {
    breaks: /the lock is not free/,
    changes: { offer: ({ lockFd }) => skipping((pending) => pending.name === 'close' && pending.args[0] === lockFd) },
  },
  'DONE before closing': {
    breaks: /both are the holder|unlinks/,
    changes: {
      offer: (_offered, connection) =>
        function* (pending, make) {
          if (pending.name === 'accepting') yield* call('sendmsg', connection, 'reuseaddr 1 done\n', []);
          return says(pending, 'done') ? skipped : yield* make();
        },
    },
  },
  'READY before accepting': {
    breaks: /no process accepts|does not accept/,
    changes: {
      request: () => {
        let connection: unknown;
        return function* (pending, make) {
          if (pending.name === 'poll') [connection] = pending.args;
          if (pending.name === 'accepting' && pending.args[0] === 'start')
            yield* call('sendmsg', connection, 'reuseaddr 1 ready\n', []);
          return says(pending, 'ready') ? skipped : yield* make();
        };
      },
    },
  },
  'the old one stops to accept before READY': {
    breaks: /no process accepts|does not accept/,
    changes: {
      offer: ({ listenFd }) =>
        function* (pending, make) {
          if (says(pending, 'offer')) yield* call('accepting', 'stop', listenFd);
          return yield* make();
        },
    },
  },
  'the runtime of the old one unlinks the path as it closes': {
    breaks: /unlinks/,
    changes: {
      offer: () =>
        function* (pending, make) {
          if (pending.name === 'accepting') yield* call('unlinkat', AT_FDCWD, place.path);
          return yield* make();
        },
    },
  },
  'the old one unlocks by LOCK_UN': {
    breaks: /the lock is free/,
    changes: {
      offer: ({ lockFd }) =>
        function* (pending, make) {
          if (pending.name === 'close' && pending.args[0] === lockFd) yield* call('flock', lockFd, 'LOCK_UN');
          return yield* make();
        },
    },
  },
  'the lock does not travel, and the newcomer does not look': {
    breaks: /the lock is free/,
    changes: {
      offer: ({ listenFd, handoverFd }) =>
        function* (pending, make) {
          if (!says(pending, 'offer')) return yield* make();
          const file = yield* call('openat', AT_FDCWD, place.lockPath, 'O_RDWR', 0);
          const sent = yield* call('sendmsg', pending.args[0], pending.args[1], [listenFd, handoverFd, file]);
          yield* call('close', file);
          return sent;
        },
      request: () => skipping((pending) => pending.name === 'flock', 0),
    },
  },
  'the newcomer does not look at the type of the socket': {
    breaks: /another type/,
    types: { newcomers: 'datagram' },
    changes: {
      request: () =>
        function* (pending, make) {
          return pending.name === 'socketType' ? { type: 'datagram' } : yield* make();
        },
    },
  },
  'the newcomer closes the connection first, when the offer is taken back': {
    breaks: /more than two processes|unlinks/,
    newcomers: 2,
    changes: {
      request: () => {
        let connection: unknown;
        let closed = false;
        return function* (pending, make) {
          if (pending.name === 'poll') [connection] = pending.args;
          if (pending.name === 'accepting' && pending.args[0] === 'stop') {
            yield* call('close', connection);
            closed = true;
          }
          return closed && pending.name === 'close' && pending.args[0] === connection ? 0 : yield* make();
        };
      },
    },
  },
};

/** Leaves a call out, as if it had worked. */
function skipping(isIt: (pending: SystemCall) => boolean, answer: number = 0): Change {
  return function* (pending, make) {
    return isIt(pending) ? answer : yield* make();
  };
}

for (const [name, { breaks, newcomers = 1, types, changes }] of Object.entries(mutants)) {
  test(`dropped rule: ${name} → it is found`, (t) => {
    const { states, steps, violation } = exploreHandover(
      handoverScenario(newcomers, 1, changes, newcomers === 1 ? 'AB' : '', undefined, types),
    );
    assert.match(violation?.what ?? 'nothing is wrong', breaks);
    t.diagnostic(`${violation!.what}: ${steps} steps, ${states} states. ${violation!.schedule}`);
  });
}
