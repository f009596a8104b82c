import { guardedBy } from '../address/lockName.js';
import { pathOf, pinDirectory, type Directory } from '../claim/place.js';
import { isRefusal } from '../claim/refusal.js';
import { failed, run, type Errno, type FileStatus, type FileType } from '../kernel/kernel.js';
import { kernel, readdir } from '../kernel/posix.js';

/**
 * Decides whether the files of a directory are inspected. Each function returns the reason why not,
 * or undefined.
 */
export interface Gate {
  /**
   * Called for each directory, and for the ancestors of a given one: a refusal holds for the whole
   * tree below.
   */
  readonly excludeTree: (directory: FileStatus) => string | undefined;
  /** Called for each directory, with the directory that was given. */
  readonly excludeMount: (directory: FileStatus, start: FileStatus) => string | undefined;
}

/** A place that was not inspected. */
export interface Unlisted {
  readonly path: string;
  /**
   * `EILSEQ`: the name is not UTF-8. `changed`: it was moved away, or something else took its
   * place.
   */
  readonly why: Errno | 'changed' | 'refused';
  /** The reason that the gate returned. */
  readonly reason?: string;
  /** Whether the path was given, not found below a directory. */
  readonly named: boolean;
}

/** Called for each file that is looked for. The directory stays open until this returns. */
export type Visit = (directory: Directory, name: string, named: boolean) => void;

/**
 * The greatest depth of a tree; anything deeper is reported. A path that a system call accepts has
 * no more components than this.
 */
const depthMax = 2048;

/** More ancestors than a directory can have: the kernel limits the length of a path. */
const ancestorsMax = 4096;

/** Virtual file systems: large, partly endless, and never with a socket in them. */
const withoutSockets: ReadonlySet<string> = new Set(['/proc', '/sys']);

/**
 * Visits the socket files at these paths and in all directories below them, each once.
 *
 * Follows a symlink only if it was given itself. Each directory is opened by its name in its
 * parent, which is open. So the walk never leaves the tree, no matter what another process puts in
 * its way. A given path that is neither a socket nor a directory is reported.
 *
 * @param visitLock is called for the regular files that have the name of a lock file, after the
 * sockets in the same directory
 */
export function walkSockets(paths: readonly string[], visit: Visit, gate?: Gate, visitLock?: Visit): readonly Unlisted[] {
  const walk = new Walk(visit, gate, visitLock);
  for (const path of paths) walk.start(path);
  return walk.unlisted;
}

interface Found {
  readonly name: string;
  readonly visit: Visit;
}

class Walk {
  readonly unlisted: Unlisted[] = [];
  readonly #visit: Visit;
  readonly #gate: Gate | undefined;
  readonly #visitLock: Visit | undefined;
  readonly #visited = new Set<string>();

  constructor(visit: Visit, gate: Gate | undefined, visitLock: Visit | undefined) {
    this.#visit = visit;
    this.#gate = gate;
    this.#visitLock = visitLock;
  }

  /** Begins at a path that the user gave. It is resolved once, by the call that opens it. */
  start(given: string): void {
    const directory = run(kernel, pinDirectory(given));
    if (isRefusal(directory)) {
      if (directory.errno === 'ENOTDIR') this.#startAtFile(given);
      else this.#leaveOut(given, directory.errno, true);
      return;
    }
    this.#startIn(given, directory, undefined);
    kernel.close(directory.fd);
  }

  #startAtFile(given: string): void {
    const real = kernel.realpath(given);
    if (failed(real)) return this.#leaveOut(given, real, true);
    const slash = real.path.lastIndexOf('/');
    const [path, name] = [real.path.slice(0, slash) || '/', real.path.slice(slash + 1)];
    const directory = run(kernel, pinDirectory(path));
    if (isRefusal(directory)) return this.#leaveOut(given, directory.errno, true);
    const visit = this.#visitOf(name, typeOf(directory, name));
    // A symlink may have appeared in the path since it was resolved.
    if (directory.path !== path) this.#leaveOut(given, 'changed', true);
    else if (visit === undefined) this.#leaveOut(given, 'ENOTSOCK', true);
    else this.#startIn(given, directory, { name, visit });
    kernel.close(directory.fd);
  }

  #startIn(given: string, directory: Directory, found: Found | undefined): void {
    const start = kernel.fstat(directory.fd);
    const refused = failed(start)
      ? undefined
      : this.#gate && (excludedBy(directory, this.#gate) ?? this.#gate.excludeMount(start, start));
    if (failed(start)) this.#leaveOut(given, start, true);
    else if (refused !== undefined)
      this.#leaveOut(found === undefined ? directory.path : pathOf({ directory, name: found.name }), 'refused', true, refused);
    else if (found === undefined) this.#descend(directory, start, 0);
    else this.#once(directory, found, true);
  }

  #descend(directory: Directory, start: FileStatus, depth: number): void {
    const entries = depth > depthMax ? 'ENAMETOOLONG' : readdir(directory.fd);
    if (failed(entries)) return this.#leaveOut(directory.path, entries, depth === 0);
    const below: string[] = [];
    const [sockets, locks]: [Found[], Found[]] = [[], []];
    for (const { name, type: told } of entries) {
      const type = told === 'unknown' ? typeOf(directory, name) : told;
      const visit = this.#visitOf(name, type);
      if (type !== 'directory' && visit === undefined) continue;
      // Each byte that is not UTF-8 is shown as U+FFFD, and then the name is of no use to a system
      // call.
      if (name.includes('\ufffd') && failed(kernel.fstatat(directory.fd, name)))
        this.#leaveOut(pathOf({ directory, name }), 'EILSEQ', false);
      else if (visit === undefined) below.push(name);
      else (type === 'socket' ? sockets : locks).push({ name, visit });
    }
    for (const found of [...sockets, ...locks]) {
      // Otherwise a report by path would name the wrong file.
      if (!isInPlace(directory)) return this.#leaveOut(directory.path, 'changed', depth === 0);
      this.#once(directory, found, false);
    }
    for (const name of below) this.#enter(directory, name, start, depth);
  }

  #enter(above: Directory, name: string, start: FileStatus, depth: number): void {
    const path = pathOf({ directory: above, name });
    if (withoutSockets.has(path)) return;
    const fd = kernel.openat(above.fd, name, 'O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC', 0);
    // It may have been removed since it was seen. That is not a failure.
    if (fd === 'ENOENT') return;
    if (failed(fd)) return this.#leaveOut(path, fd === 'ENOTDIR' || fd === 'ELOOP' ? 'changed' : fd, false);
    // Without /proc, only its path leads to it.
    const directory = { fd, path, through: above.through === above.path ? path : `/proc/self/fd/${fd}` };
    const status = kernel.fstat(fd);
    const refused = failed(status) ? undefined : (this.#gate?.excludeTree(status) ?? this.#gate?.excludeMount(status, start));
    if (failed(status)) this.#leaveOut(path, status, false);
    else if (refused !== undefined) this.#leaveOut(path, 'refused', false, refused);
    else this.#descend(directory, start, depth + 1);
    kernel.close(fd);
  }

  #once(directory: Directory, { name, visit }: Found, named: boolean): void {
    const path = pathOf({ directory, name });
    if (this.#visited.has(path)) return;
    this.#visited.add(path);
    visit(directory, name, named);
  }

  /** Returns the function that is called for a file, or undefined if it is not looked for. */
  #visitOf(name: string, type: FileType | undefined): Visit | undefined {
    if (type === 'socket') return this.#visit;
    return type === 'file' && guardedBy(name) !== undefined ? this.#visitLock : undefined;
  }

  #leaveOut(path: string, why: Unlisted['why'], named: boolean, reason?: string): void {
    this.unlisted.push({ path, why, named, ...(reason !== undefined && { reason }) });
  }
}

/** Asks the gate about a directory, and about its ancestors on the same file system. */
export function excludedBy({ fd: start }: Directory, gate: Gate): string | undefined {
  let fd = start;
  let refused: string | undefined;
  let below: FileStatus | undefined;
  for (let above = 0; above < ancestorsMax; above++) {
    const status = kernel.fstat(fd);
    // The root directory is its own parent.
    if (failed(status) || (below !== undefined && (status.dev !== below.dev || status.ino === below.ino))) break;
    refused = gate.excludeTree(status);
    const parent = refused === undefined ? kernel.openat(fd, '..', 'O_PATH|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC', 0) : 'ENOENT';
    if (failed(parent)) break;
    if (fd !== start) kernel.close(fd);
    below = status;
    fd = parent;
  }
  if (fd !== start) kernel.close(fd);
  return refused;
}

/**
 * Whether the directory still has this path, as the kernel sees it. Without /proc, it is assumed
 * to.
 */
function isInPlace({ through, path }: Directory): boolean {
  const link = through === path ? 'ENOENT' : kernel.readlink(through);
  return failed(link) || link.path === path;
}

function typeOf({ fd }: Directory, name: string): FileType | undefined {
  const status = kernel.fstatat(fd, name);
  return failed(status) ? undefined : status.type;
}
