import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { needs } from '../support/commands.js';
import { withMounts } from '../support/privileges.js';

/**
 * The tests make their directories in /tmp, so the file system under test is mounted there, for
 * them alone.
 */
const suites = [
  'kernel/conformance.test.js',
  'kernel/posix.test.js',
  'claim/obstacles.test.js',
  'process/crash.test.js',
  'process/exit.test.js',
];

interface FileSystem {
  readonly name: string;
  /** Shell, with `$image` an empty file of 512 MB and `$work` an empty directory. */
  readonly mount: string;
  readonly maker?: string;
}

const image = (make: string): string => `${make} "$image" >/dev/null && mount -o loop "$image" /tmp`;

const fileSystems: readonly FileSystem[] = [
  { name: 'tmpfs', mount: 'mount -t tmpfs tmpfs /tmp' },
  { name: 'ext4', mount: image('mkfs.ext4 -q'), maker: 'mkfs.ext4' },
  { name: 'xfs', mount: image('mkfs.xfs -q'), maker: 'mkfs.xfs' },
  { name: 'btrfs', mount: image('mkfs.btrfs -q'), maker: 'mkfs.btrfs' },
  {
    name: 'overlayfs on tmpfs',
    mount:
      'mount -t tmpfs tmpfs "$work" && mkdir "$work/lower" "$work/upper" "$work/work" && ' +
      'mount -t overlay overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/work" /tmp',
  },
  {
    name: 'overlayfs on ext4',
    maker: 'mkfs.ext4',
    mount:
      'mkfs.ext4 -q "$image" && mount -o loop "$image" "$work" && mkdir "$work/lower" "$work/upper" "$work/work" && ' +
      'mount -t overlay overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/work" /tmp',
  },
];

const repository = fileURLToPath(new URL('../../..', import.meta.url));

for (const { name, mount, maker } of fileSystems) {
  const skip = withMounts.skip || (maker !== undefined && needs(maker).skip);
  test(`${name} → both kernels agree, and the process tests hold`, { skip }, (t: TestContext) => {
    // Not in /tmp: it has another file system on it then.
    const work = fs.mkdtempSync('/var/tmp/reuseaddr-');
    fs.chmodSync(work, 0o755);
    t.after(() => fs.rmSync(work, { recursive: true, force: true }));
    const script = [
      'set -e',
      'image="$1/image"; work="$1/mounted"; mkdir "$work" "$1/repository"; truncate -s 512M "$image"',
      // The repository may be in /tmp itself.
      'mount --bind "$2" "$1/repository"',
      mount,
      'chmod 1777 /tmp; cd "$1/repository/build/tests"; shift 2',
      'unset NODE_TEST_CONTEXT',
      '"$@"',
      // Only root asks the kernel for the file of a socket itself; others compare numbers, which
      // btrfs and overlays make up.
      'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"',
    ].join('\n');
    const node = [process.execPath, '--test', '--test-reporter=tap', ...suites];
    const ran = spawnSync('unshare', ['-m', 'sh', '-c', script, 'sh', work, repository, ...node], { encoding: 'utf8' });
    const count = (what: string): number =>
      [...ran.stdout.matchAll(new RegExp(`^# ${what} (\\d+)$`, 'gm'))].reduce((sum, [, number]) => sum + Number(number), 0);
    assert.equal(
      ran.status,
      0,
      `${ran.stdout
        .split('\n')
        .filter((line) => !/^ *ok /.test(line))
        .join('\n')}\n${ran.stderr}`,
    );
    t.diagnostic(`${name}: ${count('pass')} tests passed, as root and as another user; ${count('skipped')} skipped`);
    assert.ok(count('pass') > 100);
  });
}
