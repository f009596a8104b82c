import { execFile } from 'node:child_process';
import { compiled } from '../support/commands.js';
import { fixture } from '../support/program.js';

/** A user, with the groups that it is in besides its own. */
export interface User {
  readonly uid: number;
  readonly gid: number;
  readonly groups?: readonly number[];
}

/**
 * `nobody` of most systems: the user that a sandbox, or a user namespace that maps nothing, makes
 * of a process.
 */
export const nobody: User = { uid: 65_534, gid: 65_534 };

/** A command line that runs the command which follows it as this user. */
export function asUser({ uid, gid, groups = [] }: User): readonly string[] {
  const grouped = groups.length === 0 ? '--clear-groups' : `--groups=${groups.join()}`;
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, grouped];
}

/**
 * A client that sends nothing, under this command line: what the server says until it closes, or
 * the errno's text of connect(2).
 */
export function visit(address: string, under: readonly string[] = []): Promise<string> {
  const [command = '', ...args] = [...under, compiled(fixture('client.c')), '-u', address];
  return new Promise((resolve) => {
    execFile(command, args, { encoding: 'utf8' }, (error, said, complaint) => {
      const why = /(Permission denied|Connection refused|No such file or directory|Connection reset by peer)/.exec(
        complaint,
      )?.[1];
      resolve(error === null ? said : (why ?? `${error.message} ${complaint}`));
    });
  });
}
