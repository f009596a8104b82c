import { spawn, type StdioOptions } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { socketName } from '../server/inherit.js';
import { supervisorVariable } from '../server/askSupervisor.js';
import { Instance, spawnStatus, type LeftBehind } from './instance.js';

/** A command line, and the resources of its instances. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  /** The descriptor that the instances get as fd 3. */
  readonly fd: number;
  /** Whether it is a listening socket, announced by sd_listen_fds(3). */
  readonly listens: boolean;
  /** The value of NOTIFY_SOCKET. */
  readonly notifySocket: string | undefined;
  /** The value of REUSEADDR_RUN. */
  readonly passing: string | undefined;
  readonly leftBehind: LeftBehind;
}

/**
 * sd_listen_fds(3): LISTEN_PID must be the program's own pid, which only the program's process
 * knows before it is executed. A shell is that process for a moment, and exec(1p) keeps the pid. If
 * the program cannot be executed, the shell ends with 126 or 127.
 */
const announce = 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"';

/**
 * Starts one instance. `index` is its number among several copies.
 *
 * The index is in NODE_APP_INSTANCE, as with pm2 (configuration packages look for it), and under a
 * name of our own: systemd has only a specifier for it (%i), and no variable.
 */
export function launch({ command, args, fd, listens, notifySocket, passing, leftBehind }: Program, index?: number): Instance {
  const environment: NodeJS.ProcessEnv = { ...process.env };
  const passed = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID', 'NOTIFY_SOCKET', supervisorVariable];
  for (const name of passed) delete environment[name];
  if (passing !== undefined) environment[supervisorVariable] = passing;
  if (notifySocket !== undefined) environment['NOTIFY_SOCKET'] = notifySocket;
  for (const name of index === undefined ? [] : ['NODE_APP_INSTANCE', 'REUSEADDR_INSTANCE']) environment[name] = String(index);
  const stdio: StdioOptions = ['inherit', 'inherit', 'inherit', fd];
  if (!listens) return new Instance(() => spawn(command, args, { env: environment, stdio }), leftBehind);
  const { kept, pastShell } = splitEnvironment(environment, command);
  const env = { ...kept, LISTEN_FDS: '1', LISTEN_FDNAMES: socketName };
  return new Instance(
    () => spawn('/bin/sh', ['-c', announce, 'reuseaddr', ...pastShell, command, ...args], { env, stdio }),
    leftBehind,
  );
}

/**
 * Splits off the variables whose names are invalid in the shell's language (`npm.key`, an exported
 * function of bash), because some shells, such as dash, drop them. env(1) sets them again, in the
 * same process. They are passed only once, since execve(2) has a limit (E2BIG).
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

/**
 * Whether a command can be executed, or the status with which a shell would fail. Looks in the same
 * directories as execvp(3).
 */
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
