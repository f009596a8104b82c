import { pathOf } from '../claim/place.js';
import { show } from '../errors/show.js';
import { placeAndGuards, type Guarded } from '../inspect/guard.js';
import { Sides } from '../inspect/sides.js';
import { walkSockets, type Unlisted } from '../inspect/walk.js';
import { boundary, MountedMeanwhile } from './boundary.js';
import { UsageError, type Command } from './command.js';
import { explain } from './ls.js';
import { clean, looksStale, type Cleaned } from './stale.js';
import { status } from './status.js';
import { jsonLines } from './text.js';
import type { Terminal } from './terminal.js';

type Result = Cleaned & { readonly address: string };

export const command: Command = {
  name: 'clean',
  operands: 'PATH…',
  operandsMin: 1,
  operandsMax: Infinity,
  description: `Removes stale socket files at and below PATH: those that no process is bound to. Each is removed
in the same way as by a start: under its lock, and proved dead again after it was set aside. Live
and held sockets stay as they are, and so do all other files. PATH may be a symbolic link; no other
link is followed. A directory that is moved or replaced meanwhile is reported and left out.

An existing lock file stays, and one that clean creates is removed again. Root cleans for all
users; others clean only where they start programs themselves.

Other file systems below PATH, and network and FUSE file systems, are reported and left out, unless
--cross-mounts is given. So are directories that an overlay or a FUSE file system shows elsewhere,
because a live socket that was bound there looks stale. clean finds these directories in each
/proc/PID/mountinfo that this user may read. It cannot know about virtual machines, containers of
other users, file systems that do not tell what they show (mergerfs, fuse-overlayfs), or a bind
mount of such a directory. Do not clean such directories.`,
  statuses: `0 done, even if a directory below PATH was left out for its file system, 1 a file could
not be removed or inspected, or was moved, or PATH itself was left out, 2 wrong usage, 3 PATH is a
socket in use`,
  options: {
    'dry-run': { short: 'n', summary: 'say what would be removed, and remove nothing' },
    'cross-mounts': { summary: 'clean other, network and FUSE file systems too' },
    json: { summary: 'print a JSON array, one socket on each line' },
  },
  examples: [
    ['reuseaddr clean --dry-run /tmp', 'show what would be removed'],
    ['reuseaddr clean /run/app.sock', 'one socket'],
    ['reuseaddr clean --json /tmp | jq length', 'count the removed files, in a script'],
  ],
  run({ operands, options, terminal }) {
    const abstract = operands.find((operand) => operand.startsWith('@'));
    if (abstract !== undefined)
      throw new UsageError(`${show(abstract)} is an abstract name, which leaves nothing behind (./@… is a file)`);
    const results: Result[] = [];
    const [dryRun, crossMounts] = [options['dry-run'] === true, options['cross-mounts'] === true];
    const mounted = new MountedMeanwhile();
    const unlisted = walkSockets(
      operands,
      (directory, name, named) => {
        const address = pathOf({ directory, name });
        const guarded = placeAndGuards(directory, name);
        const cleaned =
          guarded === undefined ? tooLong : cleanSeen(guarded, address, dryRun, () => mounted.refuse(directory, named));
        // A live socket below a directory is not worth a line. One that was named is.
        if (cleaned.outcome !== 'gone' && (cleaned.outcome !== 'kept' || named)) results.push({ address, ...cleaned });
      },
      boundary(Sides.read(), crossMounts),
    );
    const removed = dryRun ? 'would remove' : 'removed';
    if (options['json'] === true) terminal.print(jsonLines(results.map((result) => asJson(result, removed))));
    else for (const result of results) report(result, removed, terminal);
    if (results.length === 0 && terminal.columns !== undefined && options['json'] !== true)
      terminal.print('Nothing to remove.\n');
    // A missing file needs no cleaning.
    const said = [...unlisted, ...mounted.unlisted].filter(({ why, reason }) => why !== 'ENOENT' && reason !== '');
    for (const each of said) terminal.complain(each.why === 'refused' ? `Skipped ${explain(each)}` : explain(each));
    return Promise.resolve(said.some(isTrouble) ? status.failed : statusOf(results));
  },
};

/** Removes a socket file that looks stale, unless its directory is refused. */
function cleanSeen(guarded: Guarded, address: string, dryRun: boolean, isRefused: () => boolean): Cleaned {
  const seen = looksStale(guarded, address);
  if (seen.outcome !== 'removed') return seen;
  if (isRefused()) return { outcome: 'gone' };
  return dryRun ? seen : clean(guarded, address);
}

/** A socket that was bound by a relative path. No process can claim such a name. */
const tooLong: Cleaned = {
  outcome: 'failed',
  reason: 'too-long',
  message: 'its name is too long for an address, so it was left alone.',
};

/** A place that was found below a directory, and left out, is not a failure. */
function isTrouble({ why, named }: Unlisted): boolean {
  return named || why !== 'refused';
}

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
