import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boundary } from '#dist/cli/boundary.js';
import { Sides } from '#dist/inspect/sides.js';
import type { FileStatus } from '#dist/kernel/kernel.js';

const directory = (dev: bigint): FileStatus => ({
  type: 'directory',
  dev,
  ino: 2n,
  mode: 0o755,
  uid: 0,
  gid: 0,
  nlink: 2,
  size: 0,
});

/**
 * The words of `clean` about a directory on a file system of this type, below one on the same and
 * below one on another.
 */
function said(type: string, crossMounts: boolean): readonly (string | undefined)[] {
  const sides = new Sides();
  sides.add(`1 1 0:7 / /there rw - ${type} source rw`, '', true);
  const { excludeMount } = boundary(sides, crossMounts);
  return [excludeMount(directory(7n), directory(7n)), excludeMount(directory(7n), directory(8n))];
}

test('a file system of this machine alone → it is cleaned where it was named, or where mounts are to be crossed', () => {
  for (const type of ['ext4', 'xfs', 'btrfs', 'tmpfs', 'overlay', 'fuseblk', 'zfs']) {
    const [named, below] = said(type, false);
    assert.equal(named, undefined, type);
    assert.match(below ?? '', new RegExp(`^another file system \\(${type}\\) is mounted there\\. .*--cross-mounts\\.$`));
    assert.deepEqual(said(type, true), [undefined, undefined]);
  }
});

test('a file system that others serve or use as well → it is cleaned only where mounts are to be crossed', () => {
  for (const type of ['nfs', 'nfs4', 'cifs', 'smb3', '9p', 'virtiofs', 'ceph', 'fuse', 'fuse.sshfs', 'fuse.bindfs', 'ecryptfs']) {
    for (const reason of said(type, false)) assert.match(reason ?? '', new RegExp(`of type ${type}, .*--cross-mounts\\.$`));
    assert.deepEqual(said(type, true), [undefined, undefined]);
  }
});

test('a file system that the kernel makes up → it is left out without a word: no socket can be there', () => {
  for (const type of ['proc', 'sysfs', 'cgroup2', 'debugfs']) assert.deepEqual(said(type, true), ['', '']);
});
