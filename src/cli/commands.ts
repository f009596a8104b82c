import type { Commands, Entry } from './command.js';

/** A new command is added only here. */
export const commands: Commands = {
  run: { summary: 'claim an address, and run a program with it', load: () => import('./runCommand.js') },
  inspect: { summary: 'show the state of an address, and the process that holds it', load: () => import('./inspectCommand.js') },
  ls: { summary: 'list Unix sockets and their processes', load: () => import('./lsCommand.js') },
  clean: { summary: 'remove stale socket files, and nothing else', load: () => import('./cleanCommand.js') },
  connect: { summary: 'connect stdin and stdout to a server', load: () => import('./connectCommand.js') },
  'node-options': { summary: 'print NODE_OPTIONS that load the preload', load: () => import('./nodeOptionsCommand.js') },
  completion: { summary: 'print the completion script of a shell', load: () => import('./completionCommand.js') },
};

/** Returns the entry of a name. A property that every object has (`toString`) is not a command. */
export function commandEntry(name: string): Entry | undefined {
  return Object.hasOwn(commands, name) ? commands[name] : undefined;
}
