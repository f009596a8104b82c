import type { Command } from './command.js';

interface Entry {
  readonly summary: string;
  /** Each command is loaded only when it is called: none pays for the others at its start. */
  readonly load: () => Promise<{ readonly command: Command }>;
}

/** The commands, in the order of the help. A new one is added here, and nowhere else. */
export const commands: Readonly<Record<string, Entry>> = {
  run: { summary: 'claim an address, and run a program with it', load: () => import('./run.js') },
  inspect: { summary: 'say what an address is doing, and which process has it', load: () => import('./inspect.js') },
  ls: { summary: 'list Unix sockets, and the processes that have them', load: () => import('./ls.js') },
  clean: { summary: 'remove stale socket files, and nothing else', load: () => import('./clean.js') },
  connect: { summary: 'connect stdin and stdout to a server', load: () => import('./connect.js') },
  'node-options': { summary: 'print NODE_OPTIONS that load the preload', load: () => import('./node-options.js') },
  completion: { summary: 'print the completion script of a shell', load: () => import('./completion.js') },
};

/** The entry of a name; what every object has by nature (`toString`) is no command. */
export function commandEntry(name: string): Entry | undefined {
  return Object.hasOwn(commands, name) ? commands[name] : undefined;
}
