import { socketTypeDefault } from '../address/socketType.js';
import { show } from '../errors/show.js';
import { listSockets, type ListedSocket } from '../inspect/list.js';
import type { Unlisted } from '../inspect/walk.js';
import { UsageError, type Command } from './command.js';
import { status } from './status.js';
import { table, type Cell } from './table.js';
import type { Terminal } from './terminal.js';
import { holderOf, jsonLines, octal, queueOf, showBriefly, stateStyles, userOf } from './text.js';

export const command: Command = {
  name: 'ls',
  operands: '[PATH…]',
  operandsMin: 0,
  operandsMax: Infinity,
  description: `Lists Unix sockets. Without PATH: those that a process in this network namespace has open. With
PATH: the socket files at and below it, including stale ones.

TYPE is shown if a socket is no stream. QUEUE shows how many connections wait to be accepted, and
how many may. The states are those of inspect, and "displaced": a process has the socket, but its
file was removed or replaced. Makes no connection, takes no lock, and follows no symlinks. A
socket that was bound by a relative path has no mode if its directory is not known. In a directory
that an overlay or a FUSE file system shows elsewhere, a live socket looks stale.`,
  statuses: '0 done, 1 a place could not be inspected, 2 wrong usage',
  options: {
    json: { summary: 'print a JSON array, one socket on each line' },
    state: {
      value: 'STATE',
      values: Object.keys(stateStyles),
      summary: 'only sockets in this state; several states separated by commas',
    },
  },
  examples: [
    ['reuseaddr ls', 'every socket that a process has open'],
    ['reuseaddr ls /run /tmp', 'every socket file there'],
    ['reuseaddr ls --state=stale /tmp', 'the remains of crashes'],
    ["reuseaddr ls --json | jq -r '.[] | select(.waiting > 0) | .address'", 'servers that do not keep up'],
  ],
  run({ operands, options, terminal }) {
    const wanted = (options['state'] as string | undefined)?.split(',');
    const unknown = wanted?.find((state) => !Object.hasOwn(stateStyles, state));
    if (unknown !== undefined) {
      throw new UsageError(`There is no state '${show(unknown)}', only ${Object.keys(stateStyles).join(', ')}`);
    }
    const { sockets, unlisted } = listSockets(operands);
    const shown = wanted === undefined ? sockets : sockets.filter(({ state }) => wanted.includes(state));
    terminal.print(options['json'] === true ? jsonLines(shown) : page(shown, terminal));
    for (const each of unlisted) terminal.complain(explain(each));
    return Promise.resolve(unlisted.length === 0 ? status.done : status.failed);
  },
};

const header = ['ADDRESS', 'STATE', 'QUEUE', 'MODE', 'OWNER', 'HOLDER'];
const headerWithType = header.toSpliced(2, 0, 'TYPE');

function page(sockets: readonly ListedSocket[], terminal: Terminal): string {
  // Most lists have streams alone.
  const typed = sockets.some(({ type = socketTypeDefault }) => type !== socketTypeDefault);
  if (typed)
    return table(
      headerWithType,
      sockets.map((socket) => row(socket).toSpliced(2, 0, { text: socket.type ?? '-' })),
      terminal,
    );
  if (sockets.length > 0) return table(header, sockets.map(row), terminal);
  // In a pipe, an empty list is no output.
  return terminal.columns === undefined ? '' : 'No sockets.\n';
}

function row(socket: ListedSocket): Cell[] {
  const { address, state, mode, uid, waiting = 0, backlog = 0 } = socket;
  return [
    { text: showBriefly(address) },
    { text: state, style: stateStyles[state] },
    // A backlog of n lets n + 1 connections wait.
    { text: queueOf(socket), style: waiting > backlog ? 'red' : waiting > 0 ? 'yellow' : undefined },
    { text: mode === undefined ? '-' : octal(mode) },
    { text: uid === undefined ? '-' : userOf(uid) },
    { text: holderOf(socket) },
  ];
}

/** Explains why a place could not be inspected. */
export function explain({ path, why, reason }: Pick<Unlisted, 'path' | 'why' | 'reason'>): string {
  return `${show(path)}: ${reason ?? meanings[why] ?? why}`;
}

const meanings: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EILSEQ: 'its name is not UTF-8',
  EMFILE: 'too many open files (ulimit -n)',
  ENAMETOOLONG: 'too many nested directories',
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of the path is not a directory',
  ENOTSOCK: 'it is not a socket',
  ELOOP: 'too many symbolic links',
  changed: 'it was moved or replaced meanwhile, so it was left out',
  ENOSYS: 'this system does not list its sockets; name paths',
};
