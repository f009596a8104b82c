/**
 * Both sides of a handover, fed with generated answers of the other side and of the kernel: no
 * crash, no leak, no wrong acceptance.
 */
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { test } from 'node:test';
import { hear, offer } from '#dist/handover/offer.js';
import { askHolder } from '#dist/handover/askHolder.js';
import { run, type Errno, type FileStatus, type Kernel, type Conversation } from '#dist/kernel/kernel.js';
import { anyText, check } from './property.js';
import { placeByPath } from '../simulation/placeByPath.js';

const place = placeByPath('/d', 'app.sock');
const ours = 1000;
const terms = { mode: 0o600, backlog: 1, record: '' };

/**
 * A message of the other side: text, and a number of descriptors; or the errno with which reading
 * fails.
 */
type Sent = { readonly text: string; readonly fds: number } | Errno;

/** How the other side, and the kernel, behave. */
interface Script {
  readonly connects: 'connected' | Errno;
  readonly peer: number | Errno;
  readonly polls: readonly (0 | Errno)[];
  readonly sent: readonly Sent[];
  readonly send: 'sent' | Errno;
  readonly socketType: ReturnType<Kernel['socketType']>;
  readonly flock: 0 | Errno;
  readonly lockIno: number;
  readonly pathIno: number;
  readonly pathType: FileStatus['type'];
  readonly boundIno: number | Errno;
  readonly accepts: 0 | Errno;
  readonly chmod: 0 | Errno;
  readonly mode: number;
}

const errno = (...names: Errno[]): fc.Arbitrary<Errno> => fc.constantFrom(...names);
const valid = fc
  .constantFrom('request', 'ready', 'done', 'abort', 'offer 1 7', 'offer 1 8', 'offer 18446744073709551615 7')
  .map((rest) => `reuseaddr 1 ${rest}\n`);
/** A message with something wrong in it. */
const nearly = fc.tuple(valid, fc.nat(30), anyText).map(([text, at, more]) => text.slice(0, at) + more + text.slice(at + 1));
const sent: fc.Arbitrary<Sent> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ text: valid, fds: fc.constantFrom(0, 0, 3, 2, 1, 4) }) },
  { weight: 3, arbitrary: fc.record({ text: fc.oneof(nearly, anyText), fds: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ text: fc.constant(''), fds: fc.nat(3) }) },
  { weight: 2, arbitrary: errno('EAGAIN', 'ECONNRESET', 'EMSGSIZE', 'EINTR', 'ENOMEM', 'ECANCELED') },
);
const mostly = <Value>(usual: Value, others: fc.Arbitrary<Value>): fc.Arbitrary<Value> =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: others });

/** With first messages of the kind that leads further, or all sorts. */
function scripts(...firsts: readonly fc.Arbitrary<Sent>[]): fc.Arbitrary<Script> {
  const dialogue = fc.tuple(...firsts, fc.array(sent, { maxLength: 4 })).map((parts) => parts.flat());
  return fc.record({
    connects: mostly<'connected' | Errno>('connected', errno('ENOENT', 'ECONNREFUSED', 'EAGAIN', 'EACCES', 'EMFILE')),
    peer: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom<number | Errno>(ours, 0) },
      { weight: 1, arbitrary: fc.oneof(fc.nat(0xffff_ffff), errno('ENOTCONN')) },
    ),
    polls: fc.array(mostly<0 | Errno>(0, errno('ETIMEDOUT', 'ECANCELED', 'ENOMEM')), { maxLength: 4 }),
    sent: fc.oneof({ weight: 3, arbitrary: dialogue }, { weight: 1, arbitrary: fc.array(sent, { maxLength: 5 }) }),
    send: mostly<'sent' | Errno>('sent', errno('EPIPE', 'EAGAIN', 'ECANCELED')),
    socketType: mostly<ReturnType<Kernel['socketType']>>(
      { type: 'stream' },
      fc.oneof(
        errno('EPROTOTYPE'),
        fc.constantFrom('datagram' as const, 'seqpacket' as const).map((type) => ({ type })),
      ),
    ),
    flock: mostly<0 | Errno>(0, errno('EAGAIN', 'EBADF')),
    lockIno: mostly(3, fc.nat(9)),
    pathIno: mostly(7, fc.nat(9)),
    pathType: mostly<FileStatus['type']>('socket', fc.constantFrom('file', 'symlink', 'directory')),
    boundIno: mostly<number | Errno>(7, fc.oneof(fc.nat(9), errno('ENOENT', 'ENOSYS'))),
    accepts: mostly<0 | Errno>(0, errno('EIO')),
    chmod: mostly<0 | Errno>(0, errno('EPERM')),
    mode: fc.constantFrom(0o600, 0o600, 0),
  });
}

const message = (...texts: string[]): fc.Arbitrary<Sent> =>
  fc.constantFrom(...texts).map((text) => ({ text: `reuseaddr 1 ${text}\n`, fds: 0 }));
const again: fc.Arbitrary<Sent> = fc.constant('EAGAIN');
const offered: fc.Arbitrary<Sent> = fc
  .constantFrom('offer 1 7', 'offer 1 7', 'offer 1 7', 'offer 2 7')
  .map((text) => ({ text: `reuseaddr 1 ${text}\n`, fds: 3 }));

/**
 * A kernel in which nothing is real but the descriptors: what is open is known, and a wrong close
 * is an error.
 */
class ScriptedKernel {
  readonly open = new Set<number>();
  readonly calls: string[] = [];
  readonly kernel: Kernel;
  #next = 100;

  constructor(script: Script, own: readonly number[]) {
    for (const fd of own) this.open.add(fd);
    const polls = [...script.polls];
    const dialogue = [...script.sent];
    const status = (ino: number, type: FileStatus['type'] = 'socket'): FileStatus => ({
      dev: 1n,
      ino: BigInt(ino),
      type,
      mode: script.mode,
      uid: ours,
      gid: ours,
      nlink: 1,
      size: 0,
    });
    const lock = status(3, 'file');
    const paths = new Map<number, FileStatus>();
    const usable = (fd: number): void => assert.ok(this.open.has(fd), `descriptor ${fd} is not open`);
    const calls: Partial<Kernel> = {
      connect: () => (script.connects === 'connected' ? this.#opened() : script.connects),
      peerCredentials: (fd) => (usable(fd), typeof script.peer === 'number' ? { pid: 1, uid: script.peer, gid: 0 } : script.peer),
      geteuid: () => ours,
      sleep: () => 0,
      poll: (fd, timeoutMs) => {
        usable(fd);
        this.calls.push(timeoutMs === Infinity ? 'poll for ever' : 'poll');
        return polls.shift() ?? 0;
      },
      sendmsg: (fd, text, fds) => {
        [fd, ...fds].forEach(usable);
        return script.send === 'sent' ? text.length : script.send;
      },
      recvmsg: (fd, bytesMax, fdsMax) => {
        usable(fd);
        assert.ok(bytesMax <= 128 && fdsMax <= 3, 'size and descriptors are bounded');
        const next = dialogue.shift() ?? { text: '', fds: 0 };
        if (typeof next === 'string') return next;
        if (next.fds > fdsMax) return 'EMSGSIZE'; // recvmsg(2) has closed them again.
        if (next.text.length > bytesMax) dialogue.unshift({ text: next.text.slice(bytesMax), fds: 0 });
        return { text: next.text.slice(0, bytesMax), fds: Array.from({ length: next.fds }, () => this.#opened()) };
      },
      close: (fd) => (usable(fd), this.open.delete(fd), paths.delete(fd), 0),
      openat: (_directory, path) => {
        const fd = this.#opened();
        paths.set(fd, path === place.path ? status(script.pathIno, script.pathType) : lock);
        return fd;
      },
      fstat: (fd) => (usable(fd), paths.get(fd) ?? lock),
      fstatat: (_directory, path) =>
        path === place.lockPath
          ? status(script.lockIno, 'file')
          : path === place.path
            ? status(script.pathIno, script.pathType)
            : status(8),
      socketType: (fd) => (usable(fd), script.socketType),
      flock: (fd) => (usable(fd), script.flock),
      sock_diag: (fd) => (
        usable(fd),
        typeof script.boundIno !== 'number'
          ? script.boundIno
          : fd % 2 === 0
            ? { dev: 9n, ino: 0n }
            : { dev: 1n, ino: BigInt(script.boundIno) }
      ),
      fchmodat: () => script.chmod,
      fchownat: () => script.chmod,
      accepting: (operation, fd) => (usable(fd), operation === 'start' ? script.accepts : 0),
    };
    let made = 0;
    this.kernel = new Proxy(calls as Kernel, {
      get:
        (_target, name: keyof Kernel) =>
        (...args: never[]) => {
          assert.ok(made++ < 500, 'it comes to an end');
          this.calls.push(name);
          const call = calls[name] as ((...given: never[]) => unknown) | undefined;
          assert.ok(call !== undefined, `${name} has no place in a handover`);
          return call(...args);
        },
    });
  }

  #opened(): number {
    this.open.add(this.#next);
    return this.#next++;
  }

  run<Outcome>(operation: Conversation<Outcome>): Outcome {
    return run(this.kernel, operation);
  }
}

/**
 * If there is no thread to wait on (ENOMEM), a message that has come already is read all the same.
 */
const isRead = ({ polls: [first = 0] }: Script): boolean => first !== 'ETIMEDOUT' && first !== 'ECANCELED';
const isTrusted = ({ peer }: Script): boolean => peer === ours || peer === 0;

/**
 * Nothing is read from a stranger, and nothing is sent to it. No peer is read before its
 * credentials are known.
 */
function assertCredentialsFirst(calls: readonly string[], script: Script): void {
  const talk = calls.findIndex((name) => name === 'recvmsg' || name === 'sendmsg' || name === 'poll');
  if (talk < 0) return;
  const asked = calls.indexOf('peerCredentials');
  assert.ok(asked >= 0 && asked < talk && isTrusted(script), 'credentials come first');
}

test('the holder hears 15,000 newcomers → it takes only a request of the same user or root for one', (t) => {
  let heard = 0;
  check(t, 15_000, scripts(message('request')), (script) => {
    const connection = 10;
    const world = new ScriptedKernel(script, [connection]);
    const outcome = world.run(hear(connection, 100));
    assertCredentialsFirst(world.calls, script);
    assert.ok(!world.calls.includes('poll for ever') && !world.calls.includes('sendmsg'));
    assert.deepEqual([...world.open], [connection]);
    const [first] = script.sent;
    const asked = typeof first === 'object' && first.text === 'reuseaddr 1 request\n' && first.fds === 0 && isRead(script);
    assert.equal(outcome, isTrusted(script) && asked);
    if (outcome) heard++;
  });
  t.diagnostic(`${heard} heard`);
  assert.ok(heard > 1000);
});

test('the holder makes 20,000 offers → it leaves only a newcomer that is ready and lives, and closes just what it was sent', (t) => {
  const outcomes: Record<string, number> = {};
  check(t, 20_000, scripts(message('ready'), again), (script) => {
    const own = [3, 4, 5] as const;
    const world = new ScriptedKernel(script, [...own, 10]);
    const outcome = world.run(
      offer(10, { lockFd: own[0], listenFd: own[1], handoverFd: own[2], identity: { dev: 1n, ino: 7n } }, 100),
    );
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    assert.deepEqual([...world.open], outcome === 'handed-over' ? [] : [...own]);
    const [first, second] = script.sent;
    const ready = typeof first === 'object' && first.text === 'reuseaddr 1 ready\n' && first.fds <= 3 && second === 'EAGAIN';
    assert.equal(outcome === 'handed-over', ready && script.send === 'sent' && isRead(script));
  });
  t.diagnostic(JSON.stringify(outcomes));
  assert.ok(outcomes['handed-over']! > 1000 && outcomes['kept']! > 1000);
});

/**
 * The holder's message after its offer: that it has left, by word or by its end, or that it
 * withdraws the offer.
 */
function lastWord(said: readonly Sent[]): 'mine' | 'taken back' {
  for (const each of said) {
    if (each === 'ECONNRESET') return 'mine';
    if (typeof each === 'string' || each.fds > 3) continue;
    if (each.text === '' || each.text === 'reuseaddr 1 done\n') return 'mine';
    if (each.text === 'reuseaddr 1 abort\n') return 'taken back';
  }
  return 'mine';
}

for (const kind of ['pathname', 'abstract name'] as const) {
  test(`a newcomer asks 15,000 holders for ${kind === 'pathname' ? 'a' : 'an'} ${kind} → it takes only this claim, of the same user or root, and keeps no descriptor otherwise`, (t) => {
    let accepted = 0;
    const target = kind === 'pathname' ? { place } : { abstract: 'app' };
    check(
      t,
      15_000,
      scripts(
        kind === 'pathname' ? offered : offered.map((each) => ({ ...(each as { text: string }), fds: 2 })),
        message('done', 'done', 'abort', 'ready'),
      ),
      (script) => {
        const world = new ScriptedKernel(script, []);
        const outcome = world.run(askHolder(target, terms, 100));
        assertCredentialsFirst(world.calls, script);
        if (typeof outcome === 'string' || !('listenFd' in outcome)) return assert.deepEqual([...world.open], []);
        accepted++;
        const { listenFd, handoverFd, lockFd } = outcome;
        assert.deepEqual([...world.open], [listenFd, handoverFd, ...(lockFd === undefined ? [] : [lockFd])]);
        const [first] = script.sent;
        assert.ok(isTrusted(script) && typeof first === 'object' && script.accepts === 0 && script.connects === 'connected');
        assert.deepEqual(script.socketType, { type: 'stream' });
        assert.match(first.text, /^reuseaddr 1 offer \d{1,20} \d{1,20}\n$/);
        assert.equal(first.fds >= 3, kind === 'pathname');
        assert.equal(lastWord(script.sent.slice(1)), 'mine');
        if (kind === 'abstract name') return;
        assert.equal(first.text, 'reuseaddr 1 offer 1 7\n');
        assert.deepEqual([script.flock, script.lockIno, script.pathIno, script.pathType], [0, 3, 7, 'socket']);
        assert.ok(script.mode === terms.mode || script.chmod === 0);
      },
    );
    t.diagnostic(`${accepted} accepted`);
    assert.ok(accepted > 1000);
  });
}
