import { describe, describeFile, sinceWhen } from '../errors/describe.js';
import { socketTypeDefault, socketTypes } from '../address/socketType.js';
import { show } from '../errors/show.js';
import { inspect, type Inspection } from '../inspect/inspect.js';
import type { Command } from './command.js';
import { readType } from './readType.js';
import { status } from './status.js';
import type { Terminal } from './terminal.js';
import { json, octal, stateStyles, userOf, wrap } from './text.js';

const meanings: Readonly<Record<Inspection['state'], string>> = {
  free: 'nothing is there, and no process holds the lock',
  listening: 'a holder listens there',
  starting: 'a process holds the lock but does not listen: it is starting or stopping',
  stale: 'a dead process has left its socket file; the next start replaces it',
  stray: 'a live socket, whose process does not hold the lock',
  blocked: 'another file is there, or the lock file is unusable; a start fails',
};

const reasons: Readonly<Record<NonNullable<Inspection['reason']>, string>> = {
  'not-a-socket': 'the file at that path is not a socket',
  'lock-not-a-file': 'the lock file is not a regular file',
  'lock-foreign-content': 'the lock file contains something else',
  denied: 'permission denied',
  displaced: 'its holder listens, but the socket file was removed: no client can connect',
  'shared-directory': 'other users may replace the socket: they may write to its directory',
};

export const command: Command = {
  name: 'inspect',
  operands: 'ADDRESS',
  operandsMin: 1,
  operandsMax: 1,
  description: `Shows the state of an address, and the process that holds it. Takes no lock, makes no connection,
and changes nothing.

${Object.entries(meanings)
  .map(([state, meaning]) => `  ${state.padEnd(9)}  ${meaning}`)
  .join('\n')}`,
  statuses: '0 a holder listens, 1 no such directory, 2 wrong usage, 3 any other state',
  options: {
    json: { summary: 'print one JSON object' },
    'lock-path': { value: 'PATH', summary: 'the lock file, if it is not ADDRESS.lock' },
    type: { value: 'TYPE', values: socketTypes, summary: 'type of the socket, if an abstract name is in use for several' },
  },
  examples: [
    ['reuseaddr inspect /run/app.sock', 'which process holds it?'],
    ['reuseaddr inspect @app', 'an abstract name'],
    ['reuseaddr inspect --json /run/app.sock | jq .holder.pid', 'its pid, for a script'],
    ['reuseaddr inspect /run/app.sock >/dev/null || echo down', 'does a holder listen?'],
  ],
  async run({ operands: [address = ''], options, terminal }) {
    const lockPath = options['lock-path'] as string | undefined;
    const found = await inspect(address, { lockPath, type: readType(options['type']) });
    terminal.print(options['json'] === true ? `${json(found)}\n` : page(found, terminal));
    return found.state === 'listening' ? status.done : status.inUse;
  },
};

/** Describes a file that is not a socket by its type: a symbolic link may lead to a live socket. */
function explained({ address, state, reason }: Inspection): string {
  if (reason === 'not-a-socket') return `it is ${describeFile(address)}`;
  return reason === undefined || reason === 'shared-directory' ? meanings[state] : reasons[reason];
}

const nameWidth = 'lock file'.length;

function page(found: Inspection, { columns, style }: Terminal): string {
  const { state, reason, holder, mode, uid, gid } = found;
  const lines: [string, string | undefined][] = [
    ['state', `${style(stateStyles[state], state)}: ${explained(found)}`],
    ['holder', holder && `${describe(holder)}${sinceWhen(holder)}${holder.stopped === true ? ', stopped' : ''}`],
    ['instances', found.instances?.join(', ')],
    ['waiting', found.backlog === undefined ? undefined : `${found.waiting} of ${found.backlog} connections`],
    ['mode', mode === undefined ? undefined : octal(mode)],
    ['owner', uid === undefined ? undefined : `${userOf(uid)} (uid ${uid}, gid ${gid})`],
    ['type', found.type === socketTypeDefault ? undefined : found.type],
    ['inode', found.inode?.toString()],
    ['lock file', found.lockPath === undefined ? undefined : show(found.lockPath)],
    ['warning', reason === 'shared-directory' ? style('yellow', reasons[reason]) : undefined],
  ];
  const print = ([name, value]: [string, string | undefined]): string =>
    value === undefined ? '' : `  ${name.padEnd(nameWidth)}  ${wrap(value, nameWidth + 4, columns)}\n`;
  return `${style('bold', show(found.address))}\n${lines.map(print).join('')}`;
}
