import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/**
 * A directory of the test's own, removed after it. Its path is short, because socket names are, and
 * has no symlink in it.
 */
export function temporaryDirectory(t: TestContext, mode = 0o700): string {
  const path = fs.mkdtempSync(join(fs.realpathSync(process.platform === 'linux' ? '/tmp' : os.tmpdir()), 'ra-'));
  fs.chmodSync(path, mode);
  t.after(() => fs.rmSync(path, { recursive: true, force: true }));
  return path;
}

/**
 * Everything that a start could do to a directory's files: which there are, and of each its inode,
 * type, mode, owner and content.
 */
export function snapshot(directory: string): Readonly<Record<string, string>> {
  return Object.fromEntries(fs.readdirSync(directory).map((name) => [name, describeFile(join(directory, name))]));
}

function describeFile(path: string): string {
  const { ino, mode, uid, gid, nlink, rdev, mtimeNs } = fs.lstatSync(path, { bigint: true });
  const type = mode & 0o170000n;
  const changed = type === 0o040000n ? '' : mtimeNs;
  return [ino, mode.toString(8), uid, gid, nlink, rdev, changed, contentOf(path, type)].join(' ');
}

function contentOf(path: string, type: bigint): string {
  if (type === 0o120000n) return fs.readlinkSync(path);
  if (type === 0o040000n) return fs.readdirSync(path).join();
  if (type === 0o100000n) return createHash('sha256').update(fs.readFileSync(path)).digest('hex').slice(0, 16);
  return '';
}

/** The inode at a path, or undefined where nothing is. */
export function inodeAt(path: string): bigint | undefined {
  return fs.lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

/** How many descriptors this process has open. */
export function openDescriptors(): number {
  return fs.readdirSync('/proc/self/fd').length;
}

/**
 * The files of a directory that this process has open, and the sockets that any process listens on
 * there.
 */
export function leftOpen(directory: string): readonly string[] {
  const links = fs.readdirSync('/proc/self/fd').map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // That of readdir itself, which is closed by now.
    }
  });
  const sockets = fs.readFileSync('/proc/net/unix', 'utf8').split('\n');
  return [
    ...links.filter((link) => `${link}/`.startsWith(`${directory}/`)),
    ...sockets.filter((line) => line.includes(' 00010000 ') && line.includes(` ${directory}/`)),
  ];
}
