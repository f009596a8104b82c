import { show } from '../errors/show.js';
import { pinDirectory } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { guardedPlace } from '../inspect/guard.js';
import { socketFiles } from '../inspect/walk.js';
import { UsageError, type Command } from './command.js';
import { explain } from './ls.js';
import { looksStale, removeStale, type Cleaned } from './stale.js';
import { status } from './status.js';
import { jsonLines } from './text.js';
import type { Terminal } from './terminal.js';

type Result = Cleaned & { readonly address: string };

export const command: Command = {
  name: 'clean',
  operands: 'PATH…',
  operandsMin: 1,
  operandsMax: Infinity,
  description: `Removes stale socket files at and below PATH: those that no process is bound to. Each under
its lock, and proved dead again after it was set aside, as a start does it; a live socket,
a held one, and whatever is not a socket stay as they are. Symlinks are not followed.

Lock files stay: to remove one is not safe while programs may start. As root, clean gives a
lock file that it makes to the owner of the socket; any other user cleans only what is its own.`,
  statuses: '0 done, 1 failed, 2 wrong usage, 3 a socket that was named is in use',
  options: {
    'dry-run': { short: 'n', summary: 'say what would be removed, and remove nothing' },
    json: { summary: 'print a JSON array, one socket on each line' },
  },
  examples: [
    ['reuseaddr clean --dry-run /tmp', 'what would go?'],
    ['reuseaddr clean /run/app.sock', 'one socket'],
    ['reuseaddr clean --json /tmp | jq length', 'how many were removed, for a script'],
  ],
  run({ operands, options, terminal }) {
    const abstract = operands.find((operand) => operand.startsWith('@'));
    if (abstract !== undefined)
      throw new UsageError(`${show(abstract)} is an abstract name, which leaves nothing behind (./@… is a file)`);
    const clean = options['dry-run'] === true ? looksStale : removeStale;
    const { files, unlisted } = socketFiles(operands);
    const results = files.flatMap(({ directory, name, named }): Result[] => {
      const pinned = run(kernel, pinDirectory(directory));
      const place = isRefusal(pinned) ? undefined : guardedPlace(pinned, name);
      const cleaned = place === undefined ? undefined : clean(place);
      if (!isRefusal(pinned)) kernel.close(pinned.fd);
      // Of a live one below a directory there is nothing to say; of one that was named there is.
      if (place === undefined || cleaned === undefined || cleaned.outcome === 'gone' || (cleaned.outcome === 'kept' && !named))
        return [];
      return [{ address: place.path, ...cleaned }];
    });
    const removed = options['dry-run'] === true ? 'would remove' : 'removed';
    if (options['json'] === true) terminal.print(jsonLines(results.map((result) => asJson(result, removed))));
    else for (const result of results) report(result, removed, terminal);
    if (results.length === 0 && terminal.columns !== undefined && options['json'] !== true)
      terminal.print('Nothing to remove.\n');
    // What is not there needs no cleaning.
    const trouble = unlisted.filter(({ errno }) => errno !== 'ENOENT');
    for (const each of trouble) terminal.complain(explain(each));
    return Promise.resolve(trouble.length > 0 ? status.failed : statusOf(results));
  },
};

function report(result: Result, removed: string, terminal: Terminal): void {
  const address = show(result.address);
  if (result.outcome === 'removed') terminal.print(`${removed} ${address}\n`);
  else if (result.outcome === 'kept') terminal.complain(`Kept ${address}: ${reasons[result.reason]}.`);
  else if (result.outcome === 'failed') terminal.complain(`Cannot clean ${address}: ${result.message}`);
}

const reasons = { live: 'a process has it (see reuseaddr inspect)', 'not-a-socket': 'it is not a socket' } as const;

function asJson(result: Result, removed: string): object {
  return { ...result, outcome: result.outcome === 'removed' ? removed.replace(' ', '-') : result.outcome };
}

function statusOf(results: readonly Result[]): number {
  if (results.some(({ outcome }) => outcome === 'failed')) return status.failed;
  return results.some(({ outcome }) => outcome === 'kept') ? status.inUse : status.done;
}
