import { spawnSync } from 'node:child_process';

/** A user and a group that nobody has. */
export const stranger = { uid: 54_321, gid: 54_322 } as const;

/** Another user that nobody is. */
export const secondStranger = { uid: 54_331, gid: 54_332 } as const;

export const onLinux = { skip: process.platform !== 'linux' && 'only Linux has it' } as const;

/** Options of a test that runs programs as other users. */
export const asRoot = { skip: process.geteuid?.() !== 0 && 'only root can run a program as another user' } as const;

const mountsWork = process.platform === 'linux' && spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'x', '/mnt']).status === 0;

/** Options of a test that mounts file systems, in a mount namespace of its own. */
export const withMounts = { skip: !mountsWork && 'this user may not mount (unshare -m)' } as const;

const unshareWorks =
  process.platform === 'linux' &&
  spawnSync('unshare', ['--pid', '--fork', '--mount-proc', '--net', '--uts', 'true']).status === 0;

/** Options of a test that makes namespaces. */
export const withNamespaces = {
  skip: !unshareWorks && 'this user may not make namespaces (unshare --pid --mount --net --uts)',
} as const;

const userNamespacesWork =
  process.platform === 'linux' &&
  spawnSync('unshare', ['--user', '--map-root-user', 'true'], process.geteuid?.() === 0 ? stranger : {}).status === 0;

/** Options of a test in which a user who is not root makes a user namespace. Some systems forbid it, and every chroot does. */
export const withUserNamespaces = {
  skip: !userNamespacesWork && 'users may not make user namespaces here (unshare --user)',
} as const;

/**
 * A command line that runs the command which follows it in a mount namespace of its own, where these shell commands were run
 * first. They are words of this test, `$1` is the directory.
 */
export function inMountNamespace(directory: string, mountCommands: string): readonly string[] {
  return ['unshare', '-m', 'sh', '-c', `${mountCommands} && shift && exec "$@"`, 'sh', directory];
}
