import type { Directory } from '../claim/place.js';
import { show } from '../errors/show.js';
import { Sides, type WrongSide } from '../inspect/sides.js';
import { excludedBy, type Gate, type Unlisted } from '../inspect/walk.js';

/**
 * File systems that another machine, or a program, serves to others as well. No single kernel knows
 * whether a socket lives there.
 */
const shared =
  /^(9p|afs|beegfs|ceph|cifs|ecryptfs|fuse(\..*)?|gfs2|glusterfs|gpfs|lustre|nfs4?|ocfs2|orangefs|prl_fs|smb3|vboxsf|virtiofs|vmhgfs)$/;

/** Virtual file systems, in which no process can create a socket. */
const withoutSockets = /^(bpf|cgroup2?|configfs|debugfs|efivarfs|fusectl|mqueue|proc|pstore|securityfs|selinuxfs|sysfs|tracefs)$/;

/**
 * The places that `clean` leaves out, because it would see them from the wrong side, or because it
 * was not asked to go there.
 */
export function boundary(sides: Sides, crossMounts: boolean): Gate {
  return {
    excludeTree(directory) {
      const wrong = sides.wrongSide(directory);
      return wrong && explainWrongSide(wrong);
    },
    excludeMount(directory, start) {
      const type = sides.typeOf(directory) ?? 'unknown';
      if (withoutSockets.test(type)) return '';
      if (crossMounts) return undefined;
      if (shared.test(type))
        return `it is on a file system of type ${show(type)}, where a socket that is live on another machine, or on another side of the mount, looks stale. To clean it all the same, give --cross-mounts.`;
      if (directory.dev === start.dev) return undefined;
      return `another file system (${show(type)}) is mounted there. To clean it too, name it, or give --cross-mounts.`;
    },
  };
}

/**
 * Reads the mounts again for each directory in which a socket looks stale: a container may have
 * started during the walk.
 *
 * A socket that was bound through a mount is younger than the mount. So the mounts are read after
 * the names in the directory: if no mount shows it by then, none of these sockets was bound through
 * one.
 */
export class MountedMeanwhile {
  readonly unlisted: Unlisted[] = [];
  #directory: Directory | undefined;
  #reason: string | undefined;

  /** Returns whether the directory is on the wrong side of a mount by now. Reports it once. */
  excludes(directory: Directory, named: boolean): boolean {
    if (this.#directory === directory) return this.#reason !== undefined;
    const reason = excludedBy(directory, boundary(Sides.read(), true));
    if (reason !== undefined) this.unlisted.push({ path: directory.path, why: 'refused', named, reason });
    this.#directory = directory;
    this.#reason = reason;
    return reason !== undefined;
  }
}

function explainWrongSide({ type, mountPoint, as }: WrongSide): string {
  const what = as === 'backing' ? '' : ` (${as})`;
  return `a file system of type ${show(type)} that is mounted at ${show(mountPoint)} shows it${what}. A live socket that was bound there looks stale from here. Clean ${show(mountPoint)} instead.`;
}
