import { spawnSync } from 'node:child_process';
import os from 'node:os';

/** A user and a group that no process has. */
export const stranger = { uid: 54_321, gid: 54_322 } as const;

/** Another user that no process has. */
export const secondStranger = { uid: 54_331, gid: 54_332 } as const;

/**
 * The name of the user who runs this test, or the uid where no name belongs to it, as in many
 * containers.
 */
export function ownUser(): string {
  try {
    return os.userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}

export const onLinux = { skip: process.platform !== 'linux' && 'only Linux has it' } as const;

/** Options of a test that runs programs as other users. */
export const asRoot = { skip: process.geteuid?.() !== 0 && 'only root can run a program as another user' } as const;

/**
 * Options of a test that makes namespaces as this command of unshare(1) does, which is tried once,
 * when a test asks.
 */
function where(reason: string, args: readonly string[], as: object = {}): { readonly skip: string | false } {
  let works: boolean | undefined;
  return {
    get skip() {
      works ??= process.platform === 'linux' && spawnSync('unshare', args, as).status === 0;
      return !works && reason;
    },
  };
}

/** Options of a test that mounts file systems, in a mount namespace of its own. */
export const withMounts = where('this user may not mount (unshare -m)', ['-m', 'mount', '-t', 'tmpfs', 'x', '/mnt']);

/** Options of a test that makes namespaces. */
export const withNamespaces = where('this user may not make namespaces (unshare --pid --mount --net --uts)', [
  '--pid',
  '--fork',
  '--mount-proc',
  '--net',
  '--uts',
  'true',
]);

/** Options of a test that gives processes a tree of control groups and devices of their own. */
export const withControlGroups = where('this user may not make control groups and devices in namespaces', [
  '--pid',
  '--fork',
  '--mount',
  '--uts',
  '--ipc',
  '--net',
  '--cgroup',
  'sh',
  '-euc',
  'mount -t cgroup2 none /mnt; rmdir "$(mktemp --directory /mnt/reuseaddr-XXXXXX)"; ' +
    'mount -t proc proc /proc; mount -t tmpfs none /mnt; mknod /mnt/null c 1 3; : >/mnt/null',
]);

/**
 * Options of a test in which a user who is not root makes a user namespace. Some systems forbid it,
 * and every chroot does.
 */
export const withUserNamespaces = where(
  'users may not make user namespaces here (unshare --user)',
  ['--user', '--map-root-user', 'true'],
  process.geteuid?.() === 0 ? stranger : {},
);

/**
 * A command line that runs the command which follows it in a mount namespace of its own, where
 * these shell commands were run first. They are words of this test, `$1` is the directory.
 */
export function inMountNamespace(directory: string, mountCommands: string): readonly string[] {
  return ['unshare', '-m', 'sh', '-c', `${mountCommands} && shift && exec "$@"`, 'sh', directory];
}
