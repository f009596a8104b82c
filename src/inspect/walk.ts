import { readdirSync, type Dirent } from 'node:fs';
import { basename, dirname } from 'node:path';
import { AT_FDCWD, failed, type Errno } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';

/** A socket file, by the real path of its directory. */
export interface SocketFile {
  readonly directory: string;
  readonly name: string;
  /** Whether it was named itself, not found below a directory. */
  readonly named: boolean;
}

export interface Walked {
  readonly files: readonly SocketFile[];
  readonly unlisted: readonly { readonly path: string; readonly errno: Errno }[];
}

/** How deep a tree may be; what lies deeper is reported. No path that a system call takes has more parts than this. */
const depthMax = 2048;

/** Trees that the kernel makes up: large, without end in part, and never with a socket in them. */
const withoutSockets: ReadonlySet<string> = new Set(['/proc', '/sys']);

/**
 * The socket files at these paths and in all directories below them. A symlink is followed where it was given, and nowhere else. What
 * is given and is no socket and no directory is no mistake: there is no socket there.
 */
export function socketFiles(paths: readonly string[]): Walked {
  const files = new Map<string, SocketFile>();
  const unlisted: { path: string; errno: Errno }[] = [];
  for (const path of paths) {
    const real = kernel.realpath(path);
    const status = failed(real) ? real : kernel.fstatat(AT_FDCWD, real.path);
    if (failed(real) || failed(status)) unlisted.push({ path, errno: failed(status) ? status : 'ENOENT' });
    else if (status.type === 'directory') walk(real.path, files, unlisted);
    else if (status.type === 'socket')
      files.set(real.path, { directory: dirname(real.path), name: basename(real.path), named: true });
    else unlisted.push({ path, errno: 'ENOTSOCK' });
  }
  return { files: [...files.values()], unlisted };
}

function walk(root: string, files: Map<string, SocketFile>, unlisted: { path: string; errno: Errno }[]): void {
  const waiting = [{ directory: root, depth: 0 }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { directory, depth } = next;
    const entries = depth > depthMax ? 'ENAMETOOLONG' : list(directory);
    if (failed(entries)) {
      unlisted.push({ path: directory, errno: entries });
      continue;
    }
    for (const entry of entries) {
      const isDirectory = entry.isDirectory();
      if (!isDirectory && !entry.isSocket()) continue;
      const path = `${directory === '/' ? '' : directory}/${entry.name}`;
      // Node shows each byte that is not UTF-8 as U+FFFD, and the name can't be used any more.
      if (entry.name.includes('\ufffd') && failed(kernel.fstatat(AT_FDCWD, path))) unlisted.push({ path, errno: 'EILSEQ' });
      else if (!isDirectory) files.set(path, files.get(path) ?? { directory, name: entry.name, named: false });
      else if (!withoutSockets.has(path)) waiting.push({ directory: path, depth: depth + 1 });
    }
  }
}

function list(directory: string): readonly Dirent[] | Errno {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // It may have been removed since we saw it; that is no failure.
    return code === 'ENOENT' ? [] : ((code ?? 'EIO') as Errno);
  }
}
