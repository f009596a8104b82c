import { guardedBy } from '../address/lockName.js';
import { pathOf, placeIn, type Directory } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { show } from '../errors/show.js';
import { placeAndGuards } from '../inspect/guardedPlace.js';
import { readLocks } from '../inspect/locks.js';
import { Sides } from '../inspect/sides.js';
import { walkSockets, type Unlisted } from '../inspect/walk.js';
import { boundary, MountedMeanwhile } from './boundary.js';
import { UsageError, type Command } from './command.js';
import { explain } from './lsCommand.js';
import { clean, cleanLock, looksStale, looksUnused, type Cleaned } from './stale.js';
import { status } from './status.js';
import { jsonLines } from './text.js';
import type { Terminal } from './terminal.js';

/** A file that was looked at: a socket, or with `lockPath`, the lock file of that address. */
interface File {
  readonly address: string;
  readonly lockPath?: string;
}

type Result = File & Cleaned;

export const command: Command = {
  name: 'clean',
  operands: 'PATH…',
  operandsMin: 1,
  operandsMax: Infinity,
  description: `Removes stale socket files at and below PATH: those that no process is bound to. Each is removed
in the same way as by a start: under its lock, and proved dead again after it was set aside. Live
and held sockets stay as they are, and so do all other files. PATH may be a symbolic link; no other
link is followed. A directory that is moved or replaced meanwhile is reported and left out.

An existing lock file stays, and one that clean creates is removed again. With --locks, the lock
files of this package that no process has locked are removed too, if no socket has their name
without .lock. Root can clean for all users, other users only in directories where their own
programs start. In a directory like /tmp, a lock file is removed only for its owner.

Other file systems below PATH, and network and FUSE file systems, are reported and left out, unless
--cross-mounts is given. Directories that an overlay or a FUSE file system shows elsewhere are
always left out, because a live socket that was bound there looks stale. clean finds these
directories in each /proc/PID/mountinfo that this user may read. It cannot know about virtual
machines, containers of other users, file systems that do not tell what they show (mergerfs,
fuse-overlayfs), or a bind mount of such a directory. Do not clean such directories.`,
  statuses: `0 done, even if a directory below PATH was left out for its file system, 1 a file could
not be removed or inspected, or was moved, or PATH itself was left out, 2 wrong usage, 3 PATH is a
socket in use`,
  options: {
    'dry-run': { short: 'n', summary: 'say what would be removed, and remove nothing' },
    locks: { summary: 'remove unused lock files of this package too' },
    'cross-mounts': { summary: 'clean other, network and FUSE file systems too' },
    json: { summary: 'print a JSON array, one file on each line' },
  },
  examples: [
    ['reuseaddr clean --dry-run /tmp', 'show what would be removed'],
    ['reuseaddr clean /run/app.sock', 'one socket'],
    ['reuseaddr clean --locks /tmp/app', 'stale sockets, and lock files that no process needs'],
    ['reuseaddr clean --json /tmp | jq length', 'count the removed files, in a script'],
  ],
  run({ operands, options, terminal }) {
    const abstract = operands.find((operand) => operand.startsWith('@'));
    if (abstract !== undefined)
      throw new UsageError(`${show(abstract)} is an abstract name, which leaves nothing behind (./@… is a file)`);
    const cleaning = new Cleaning(options['dry-run'] === true);
    const unlisted = walkSockets(
      operands,
      (...found) => cleaning.socket(...found),
      boundary(Sides.read(), options['cross-mounts'] === true),
      options['locks'] === true ? (...found) => cleaning.lock(...found) : undefined,
    );
    const { results, removed } = cleaning;
    if (options['json'] === true) terminal.print(jsonLines(results.map((result) => asJson(result, removed))));
    else for (const result of results) report(result, removed, terminal);
    if (results.length === 0 && terminal.columns !== undefined && options['json'] !== true)
      terminal.print('Nothing to remove.\n');
    // A missing file needs no cleaning.
    const said = [...unlisted, ...cleaning.unlisted].filter(({ why, reason }) => why !== 'ENOENT' && reason !== '');
    for (const each of said) terminal.complain(each.why === 'refused' ? `Skipped ${explain(each)}` : explain(each));
    return Promise.resolve(said.some(isTrouble) ? status.failed : statusOf(results));
  },
};

/** One run: removes what looks stale, unless its directory is refused, and collects the results. */
class Cleaning {
  readonly results: Result[] = [];
  readonly removed: 'removed' | 'would remove';
  readonly #dryRun: boolean;
  readonly #mounted = new MountedMeanwhile();
  readonly #locked = readLocks() ?? new Set<string>();

  constructor(dryRun: boolean) {
    this.#dryRun = dryRun;
    this.removed = dryRun ? 'would remove' : 'removed';
  }

  get unlisted(): readonly Unlisted[] {
    return this.#mounted.unlisted;
  }

  socket(directory: Directory, name: string, named: boolean): void {
    const guarded = placeAndGuards(directory, name);
    const address = pathOf({ directory, name });
    const seen = guarded === undefined ? tooLong : looksStale(guarded, address);
    const act = (): Cleaned => (guarded === undefined ? seen : clean(guarded, address));
    this.#finish({ address }, seen, act, directory, named);
  }

  lock(directory: Directory, name: string, named: boolean): void {
    const socket = guardedBy(name);
    const place = socket === undefined ? undefined : placeIn({ directory, name: socket });
    // No address has a name of that length, so no claim made the file.
    if (place === undefined || isRefusal(place)) return;
    // A dry run has not removed the sockets before it comes to their lock files.
    const gone = new Set(this.results.filter(({ outcome }) => outcome === 'removed').map(({ address }) => address));
    const seen = looksUnused(place, this.#locked, (guarded) => gone.has(pathOf({ directory, name: guarded })));
    this.#finish({ address: place.path, lockPath: place.lockPath }, seen, () => cleanLock(place), directory, named);
  }

  #finish(file: File, seen: Cleaned, act: () => Cleaned, directory: Directory, named: boolean): void {
    let cleaned = seen;
    if (seen.outcome === 'removed') {
      if (this.#mounted.excludes(directory, named)) return;
      if (!this.#dryRun) cleaned = act();
    }
    // A live socket below a directory is not worth a line. One that was named is.
    if (cleaned.outcome !== 'gone' && (cleaned.outcome !== 'kept' || named)) this.results.push({ ...file, ...cleaned });
  }
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
  const file = show(result.lockPath ?? result.address);
  if (result.outcome === 'removed') terminal.print(`${removed} ${file}\n`);
  else if (result.outcome === 'kept') terminal.complain(`Kept ${file}: ${reasons[result.reason]}.`);
  else if (result.outcome === 'failed') terminal.complain(`Cannot clean ${file}: ${result.message}`);
}

const reasons = {
  live: 'a process has it (see reuseaddr inspect)',
  'not-a-socket': 'it is not a socket',
  'not-a-lock-file': 'no claim of this package made it',
  'guards-a-file': 'its socket is there',
  locked: 'a process has locked it',
} as const satisfies Record<(Cleaned & { outcome: 'kept' })['reason'], string>;

function asJson(result: Result, removed: string): object {
  return { ...result, outcome: result.outcome === 'removed' ? removed.replace(' ', '-') : result.outcome };
}

function statusOf(results: readonly Result[]): number {
  if (results.some(({ outcome }) => outcome === 'failed')) return status.failed;
  return results.some(({ outcome }) => outcome === 'kept') ? status.inUse : status.done;
}
