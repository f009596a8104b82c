import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import type { FileStatus } from '../kernel/kernel.js';
import { major, minor } from './locks.js';
import { directoriesShown, parseMountinfo, type Mount, type ShownDirectory } from './mounts.js';

/** A directory, its name in a mount, and the place where that mount shows it. */
export interface WrongSide extends ShownDirectory {
  readonly mountPoint: string;
  readonly type: string;
}

type File = Pick<FileStatus, 'dev' | 'ino'>;

/**
 * Tells on which side of a mount a directory is.
 *
 * The kernel knows a socket by the inode that it was bound to. A socket that was bound through an
 * overlay, or a FUSE file system, has another inode in the directory that lies below. There it
 * looks as if its server were dead.
 *
 * @see proc_pid_mountinfo(5); the kernel's Documentation/filesystems/overlayfs.rst
 */
export class Sides {
  readonly #types = new Map<string, string>();
  readonly #wrong = new Map<string, WrongSide>();

  /**
   * Reads the mounts of this process, and of all others that this user may inspect: the mounts of a
   * container exist only in its own namespace.
   */
  static read(): Sides {
    const sides = new Sides();
    const own = contentOf('/proc/self/mountinfo');
    sides.add(own, '', true);
    for (const { mountinfo, root } of othersMounts()) if (mountinfo !== own) sides.add(mountinfo, root);
    return sides;
  }

  /** @param root a name of the root directory at which the paths begin */
  add(mountinfo: string, root = '', ours = false): void {
    for (const mount of parseMountinfo(mountinfo)) {
      if (ours) this.#types.set(mount.device, mount.type);
      for (const shown of directoriesShown(mount)) this.#note(shown, mount, root);
    }
  }

  /**
   * Notes the path as that process sees it and as this one does: only the process that mounted it
   * knew which of the two it meant.
   */
  #note(shown: ShownDirectory, { mountPoint, type }: Mount, root: string): void {
    for (const path of new Set([shown.path, root + shown.path])) {
      const file = fileAt(path);
      if (file !== undefined) this.#wrong.set(keyOf(file), { ...shown, mountPoint, type });
    }
  }

  /**
   * Returns the mount on whose wrong side a directory is. Undefined: no mount that could be read
   * says so.
   */
  wrongSide(directory: File): WrongSide | undefined {
    return this.#wrong.get(keyOf(directory));
  }

  /** Returns the type of the file system, or undefined if it is not known. */
  typeOf({ dev }: Pick<File, 'dev'>): string | undefined {
    return this.#types.get(`${major(dev)}:${minor(dev)}`);
  }
}

function keyOf({ dev, ino }: File): string {
  return `${dev}:${ino}`;
}

/** Returns the directory at a path, through symlinks, as mount(2) takes it. */
function fileAt(path: string): File | undefined {
  try {
    const status = statSync(path, { bigint: true });
    return status.isDirectory() ? status : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Returns the mounts that other processes see, once for each namespace and root directory. A user
 * may inspect only processes of its own.
 */
function othersMounts(): readonly { readonly mountinfo: string; readonly root: string }[] {
  const seen = new Set<string>();
  return list('/proc').flatMap((pid) => {
    const process = `/proc/${pid}`;
    const namespace = /^\d+$/.test(pid) ? linkAt(`${process}/ns/mnt`) : undefined;
    const view = `${namespace} ${linkAt(`${process}/root`)}`;
    if (namespace === undefined || seen.has(view)) return [];
    const mountinfo = contentOf(`${process}/mountinfo`);
    // The process has just ended. Another one may show the same mounts.
    if (mountinfo === '') return [];
    seen.add(view);
    return [{ mountinfo, root: `${process}/root` }];
  });
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
