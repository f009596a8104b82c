#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { readArguments } from './arguments.js';
import { UsageError, type Command } from './command.js';
import { commandEntry, commands } from './commands.js';
import { status } from './status.js';
import { openTerminal, type Terminal } from './terminal.js';

void run();

async function run(): Promise<void> {
  const result = await main(process.argv.slice(2), openTerminal());
  // process.exit would cut off output that a pipe has not taken yet. A failed write has set the
  // exit code already.
  process.exitCode = result || (process.exitCode ?? 0);
}

async function main([name, ...args]: readonly string[], terminal: Terminal): Promise<number> {
  const asked = name === 'help' || name === '--help' || name === '-h';
  if (asked && args.length > 0 && args[0] !== undefined) return await call(args[0], ['--help'], terminal);
  if (asked) return await print(terminal, async () => (await import('./help.js')).overview(terminal));
  if (name === '--version' || name === '-V') return await print(terminal, () => `${version()}\n`);
  if (name === undefined) return refuse('Missing command', 'reuseaddr COMMAND [OPTION…] …', '', terminal);
  return await call(name, args, terminal);
}

async function call(name: string, args: readonly string[], terminal: Terminal): Promise<number> {
  const entry = commandEntry(name);
  if (entry === undefined) {
    const what = name.startsWith('-') ? 'Unknown option' : 'Unknown command';
    const meant = (await import('./nearest.js')).nearest(name, Object.keys(commands));
    return refuse(
      `${what} '${name}'${meant === undefined ? '' : `. Did you mean ${meant}?`}`,
      'reuseaddr COMMAND [OPTION…] …',
      '',
      terminal,
    );
  }
  const { command } = await entry.load();
  try {
    const invocation = readArguments(command, args);
    if (invocation.options['help'] === true) {
      return await print(terminal, async () => (await import('./help.js')).helpOf(command, terminal));
    }
    return await command.run({ ...invocation, terminal, commands });
  } catch (error) {
    return await explain(error, command, terminal);
  }
}

async function explain(error: unknown, command: Command, terminal: Terminal): Promise<number> {
  if (error instanceof UsageError) {
    const { unknownOption } = error;
    const options = [...Object.keys(command.options), 'help'].map((option) => `--${option}`);
    const meant = unknownOption === undefined ? undefined : (await import('./nearest.js')).nearest(unknownOption, options);
    const message = meant === undefined ? error.message : `${error.message}. Did you mean ${meant}?`;
    return refuse(message, (await import('./help.js')).usageOf(command), ` ${command.name}`, terminal);
  }
  const { explainFailure } = await import('./failure.js');
  return explainFailure(error, command, terminal);
}

function refuse(message: string, usage: string, command: string, terminal: Terminal): number {
  terminal.complain(`${message.replace(/[^.?]$/, '$&.')}\nUsage: ${usage}\nTry 'reuseaddr${command} --help'.`);
  return status.usage;
}

async function print(terminal: Terminal, text: () => string | Promise<string>): Promise<number> {
  terminal.print(await text());
  return status.done;
}

function version(): string {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return manifest.version;
}
