import { socketTypes } from '../address/socketType.js';
import { oneLine, show } from '../errors/show.js';
import { timerMsMax } from '../kernel/clock.js';
import type { ListenOptions } from '../request/readRequest.js';
import { runBindingItself } from '../run/bindSelf.js';
import { startedByPackageManager } from '../run/parent.js';
import { usableProcessors } from '../run/processors.js';
import { executable } from '../run/program.js';
import type { RunRequest } from '../run/runner.js';
import { runWithSocket } from '../run/withSocket.js';
import { UsageError, type Command, type Invocation } from './command.js';
import { readType } from './readType.js';

type Options = Invocation['options'];

const restartPolicies = ['never', 'on-failure', 'always'] as const;

export const command: Command = {
  name: 'run',
  operands: 'ADDRESS -- COMMAND [ARG…]',
  operandsMin: 2,
  operandsMax: Infinity,
  optionsEndAtOperand: true,
  description: `Claims ADDRESS and runs a program with it. The program gets the listening socket as fd 3, as from
systemd (sd_listen_fds). With --bind-self, the program binds the path itself.

While the program is down or being replaced, new connections wait in the queue. When the program
ends, run ends too, unless --restart says otherwise. With --instances, several copies accept from
one socket, and --restart=always is the default. SIGHUP replaces the program, one instance after
another: when the new one has said READY=1 (sd_notify), the old one gets SIGTERM. SIGTERM, SIGINT,
SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the program.`,
  statuses: `that of the program, 128 plus the number of the signal that killed it, 127 no such
program, 126 it cannot be executed; of run itself: 1 failed, 2 wrong usage, 3 the address is in use`,
  options: {
    instances: { value: 'COUNT', summary: 'run COUNT copies, or max: one for each usable processor' },
    restart: {
      value: 'WHEN',
      values: restartPolicies,
      summary: 'restart the program at its end: never (default), on-failure or always',
    },
    'restart-delay': { value: 'SECONDS', summary: 'the longest pause before a restart; the pauses grow (default 10)' },
    'ready-after': {
      value: 'SECONDS',
      valueIsOptional: true,
      summary: 'ready at READY=1, or after this long (1 without SECONDS)',
    },
    'ready-within': { value: 'SECONDS', summary: 'give up on a new instance that is not ready by then (default 60)' },
    grace: { value: 'SECONDS', summary: 'time between SIGTERM and SIGKILL for the old instance (default 10)' },
    wait: {
      value: 'SECONDS',
      valueIsOptional: true,
      summary: 'if the address is in use, wait for it; indefinitely without SECONDS',
    },
    takeover: { value: 'SECONDS', valueIsOptional: true, summary: 'ask the holder to hand the address over (default 10)' },
    handover: { summary: 'hand the address over on request, and then exit' },
    type: { value: 'TYPE', values: socketTypes, summary: 'type of the socket: stream (default), datagram or seqpacket' },
    'no-follow-parent': { summary: 'continue when the npm or npx that started this has ended' },
    'bind-self': { summary: 'let the program bind the path; lock it, and remove a stale socket' },
    mode: { value: 'MODE', summary: 'permissions of the socket, octal (default 600)' },
    owner: { value: 'USER', summary: 'owner of the socket, by name or id' },
    group: { value: 'GROUP', summary: 'group of the socket, by name or id' },
    backlog: { value: 'COUNT', summary: 'how many connections may wait (default: the maximum of the system)' },
    'lock-path': { value: 'PATH', summary: 'the lock file (default: ADDRESS.lock)' },
    verbose: { short: 'v', summary: 'also report success: claimed, started, ready' },
  },
  examples: [
    ['reuseaddr run /run/app.sock -- node server.js', 'listen() or the preload finds the socket'],
    ['reuseaddr run --restart=always --mode=660 /run/app.sock -- gunicorn app:app', 'restart it when it ends'],
    ['reuseaddr run --instances=max /run/app.sock -- node server.js', 'use all processors'],
    ['reuseaddr run --handover --takeover /run/app.sock -- ./app', 'each start replaces its predecessor'],
    ['reuseaddr run --type=datagram /run/log.sock -- python3 receiver.py', 'datagrams: the next program reads the queue'],
    ['reuseaddr run --bind-self /run/app.sock -- python3 server.py', 'a program that binds the path itself'],
  ],
  async run({ operands: [address = '', name = '', ...args], options, terminal }) {
    if (name.startsWith('-')) throw new UsageError(`Options come before ADDRESS: ${show(name)}`);
    // One line for each: a path may have line breaks, and a log is read by lines.
    const report = (message: string): void => terminal.complain(oneLine(message));
    const trace = options['verbose'] === true ? report : () => undefined;
    const request: RunRequest = { address, command: name, args, report, trace, ...readOptions(options) };
    const status = executable(name);
    if (status !== 0) {
      report(`Cannot run ${show(name)}: ${status === 127 ? 'there is no such program' : 'it cannot be executed'}.`);
      return status;
    }
    return await (options['bind-self'] === true ? runBindingItself(request) : runWithSocket(request));
  },
};

/**
 * The options that have a meaning without a socket of ours. A new one is refused with --bind-self,
 * and not ignored, until it is in this list.
 */
const withBindSelf: ReadonlySet<string> = new Set([
  'bind-self',
  'grace',
  'lock-path',
  'no-follow-parent',
  'ready-after',
  'ready-within',
  'restart',
  'restart-delay',
  'verbose',
  'wait',
]);

function readOptions(options: Options): Pick<RunRequest, 'listen' | 'policy' | 'followsParent'> {
  const bindSelf = options['bind-self'] === true;
  for (const name of bindSelf ? Object.keys(options) : []) {
    if (options[name] !== undefined && !withBindSelf.has(name))
      throw new UsageError(`--${name} is for a socket that reuseaddr binds, not for --bind-self`);
  }
  const readyAfterMs = milliseconds(options, 'ready-after', 1000);
  const readyWithinMs = milliseconds(options, 'ready-within') ?? Math.max(60_000, readyAfterMs ?? 0);
  if (readyAfterMs !== undefined && readyWithinMs < readyAfterMs)
    throw new UsageError('--ready-within is shorter than --ready-after, so no new instance would be ready in time');
  return {
    listen: {
      mode: number(options, 'mode', /^[0-7]{1,4}$/, 8, 'an octal number'),
      owner: user(options['owner']),
      group: user(options['group']),
      backlog: number(options, 'backlog', /^\d{1,10}$/, 10, 'a count'),
      lockPath: options['lock-path'] as string | undefined,
      wait: milliseconds(options, 'wait', true),
      takeover: milliseconds(options, 'takeover', true),
      handover: options['handover'] === true,
      type: readType(options['type']),
      // Not available: `run` waits until a signal ends the process, watches and reports by itself,
      // and accepts nothing. Its address is used again, so the lock file stays.
      signal: undefined,
      onDisplaced: undefined,
      allow: undefined,
      lockFile: undefined,
    } satisfies Record<keyof ListenOptions, unknown>,
    followsParent: options['no-follow-parent'] !== true && startedByPackageManager(),
    policy: {
      instances: readInstances(options['instances']),
      numbered: options['instances'] !== undefined,
      restart: readRestart(options['restart'] ?? (options['instances'] === undefined ? 'never' : 'always')),
      restartDelayMs: milliseconds(options, 'restart-delay') ?? 10_000,
      graceMs: milliseconds(options, 'grace') ?? 10_000,
      readyWithinMs,
      readyAfterMs,
      overlaps: !bindSelf,
    },
  };
}

/** More processors than any machine has. */
const instancesMax = 1024;

function readInstances(value: string | boolean | undefined = '1'): number {
  if (value === 'max') return usableProcessors();
  const count = /^\d{1,4}$/.test(String(value)) ? Number(value) : 0;
  if (count >= 1 && count <= instancesMax) return count;
  throw new UsageError(`--instances takes a count from 1 to ${instancesMax}, or max, not '${show(String(value))}'`);
}

function readRestart(value: string | boolean): RunRequest['policy']['restart'] {
  if (value === 'never' || value === 'on-failure' || value === 'always') return value;
  throw new UsageError(`--restart takes never, on-failure or always, not '${show(String(value))}'`);
}

function milliseconds(options: Options, name: string): number | undefined;
function milliseconds<Alone extends true | number>(options: Options, name: string, alone: Alone): number | Alone | undefined;
function milliseconds(options: Options, name: string, alone?: true | number): true | number | undefined {
  const value = options[name];
  if (value === undefined || (value === '' && alone !== undefined)) return value === undefined ? undefined : alone;
  const ms = /^(\d+\.?\d*|\.\d+)$/.test(String(value)) ? Math.ceil(Number(value) * 1000) : NaN;
  if (ms <= timerMsMax) return ms;
  throw new UsageError(`--${name} takes a number of seconds, not '${show(String(value))}'`);
}

function number(options: Options, name: string, form: RegExp, radix: number, what: string): number | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  if (form.test(String(value))) return Number.parseInt(String(value), radix);
  throw new UsageError(`--${name} takes ${what}, not '${show(String(value))}'`);
}

/** Reads a user. Digits are an id. */
function user(value: string | boolean | undefined): string | number | undefined {
  if (typeof value !== 'string') return undefined;
  return /^\d+$/.test(value) ? Number(value) : value;
}
