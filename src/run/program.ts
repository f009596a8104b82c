import { spawn, type StdioOptions } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { socketName } from '../server/inherit.js';
import { Instance, spawnStatus } from './instance.js';

/** A command line, and what its instances are given. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  /** The descriptor that they get as fd 3. */
  readonly fd: number;
  /** Whether that is a listening socket, announced by sd_listen_fds(3). */
  readonly listens: boolean;
  /** NOTIFY_SOCKET. */
  readonly notifySocket: string | undefined;
}

/**
 * sd_listen_fds(3): LISTEN_PID must be the program's own pid, which only the program's process knows before it is executed. A shell
 * is that process for a moment, and exec(1p) keeps the pid. A program that can't be executed is its 126 or 127.
 */
const announce = 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"';

/**
 * Starts one instance. `index`: which of several copies it is. In NODE_APP_INSTANCE, where pm2 has it and configuration packages look
 * for it, and under a name of our own: systemd's templates have a specifier (%i), and no variable.
 */
export function launch({ command, args, fd, listens, notifySocket }: Program, index?: number): Instance {
  const environment: NodeJS.ProcessEnv = { ...process.env };
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID', 'NOTIFY_SOCKET']) delete environment[name];
  if (notifySocket !== undefined) environment['NOTIFY_SOCKET'] = notifySocket;
  for (const name of index === undefined ? [] : ['NODE_APP_INSTANCE', 'REUSEADDR_INSTANCE']) environment[name] = String(index);
  const stdio: StdioOptions = ['inherit', 'inherit', 'inherit', fd];
  if (!listens) return new Instance(() => spawn(command, args, { env: environment, stdio }));
  const { kept, pastShell } = splitEnvironment(environment, command);
  const env = { ...kept, LISTEN_FDS: '1', LISTEN_FDNAMES: socketName };
  return new Instance(() => spawn('/bin/sh', ['-c', announce, 'reuseaddr', ...pastShell, command, ...args], { env, stdio }));
}

/**
 * Splits off the variables whose names are none in the shell's language (`npm.key`, an exported function of bash): some shells drop
 * them, dash for one. env(1) sets them again, in the same process. They are passed once only, since execve(2) has a limit (E2BIG).
 */
function splitEnvironment(environment: NodeJS.ProcessEnv, command: string): { kept: NodeJS.ProcessEnv; pastShell: string[] } {
  const isDropped = ([name]: [string, unknown]): boolean => !/^[A-Za-z_]\w*$/.test(name);
  const entries = Object.entries(environment);
  const dropped = entries.filter(isDropped);
  // env(1) would take such a command for a variable.
  if (dropped.length === 0 || command.includes('=')) return { kept: environment, pastShell: [] };
  return {
    kept: Object.fromEntries(entries.filter((entry) => !isDropped(entry))),
    pastShell: ['/usr/bin/env', ...dropped.map(([name, value]) => `${name}=${value}`)],
  };
}

/** Whether a command can be executed, or the status with which a shell would fail. Looks where execvp(3) does. */
export function executable(command: string, path: string = process.env['PATH'] ?? '/bin:/usr/bin'): 0 | 126 | 127 {
  let status: 126 | 127 = 127;
  const files = command.includes('/') ? [command] : path.split(delimiter).map((directory) => join(directory || '.', command));
  for (const file of files) {
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return 0;
      status = 126;
    } catch (error) {
      if (spawnStatus((error as NodeJS.ErrnoException).code) === 126) status = 126;
    }
  }
  return status;
}
