import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { directoriesShown, parseMountinfo } from '#dist/inspect/mounts.js';
import { Sides } from '#dist/inspect/sides.js';
import { temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

const shown = (line: string): readonly string[] =>
  parseMountinfo(line).flatMap((mount) => directoriesShown(mount).map(({ path, as }) => `${as} ${path}`));

test('mountinfo → each line is a mount, whatever stands before the dash, and what is no line is left out', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue',
    String.raw`65 60 0:39 / /a\040b\011\134c rw - tmpfs none rw`,
    'nonsense',
    '',
  ].join('\n');
  assert.deepEqual(parseMountinfo(text), [
    { device: '98:0', mountPoint: '/mnt2', type: 'ext3', source: '/dev/root', options: [['errors', 'continue']] },
    { device: '0:39', mountPoint: '/a b\t\\c', type: 'tmpfs', source: 'none', options: [] },
  ]);
});

test('an overlay → its upper, lower and work directories, several lower ones, each spelling that the kernel shows', () => {
  const overlay = (options: string): readonly string[] => shown(`65 60 0:39 / /m rw,relatime - overlay overlay rw,${options}`);
  assert.deepEqual(overlay('lowerdir=/l1:/l2,upperdir=/u,workdir=/w,uuid=on'), [
    'lowerdir /l1:/l2',
    'lowerdir /l1',
    'lowerdir /l2',
    'upperdir /u',
    'workdir /w',
  ]);
  // As mount(2) was given them: `lo:w,er 1`, `low\2`, `up,p:er x`. Copied from Linux 6.18.
  const odd = overlay(
    String.raw`lowerdir=/lo\134:w\134\054er\0401:/low\134\1342:/l3,upperdir=/up\134\054p:er\040x,workdir=/wo\040rk`,
  );
  for (const path of ['lowerdir /lo:w,er 1', 'lowerdir /low\\2', 'lowerdir /l3', 'upperdir /up,p:er x', 'workdir /wo rk'])
    assert.ok(odd.includes(path), `${path} in ${odd.join('\n')}`);
  // As fsconfig(2) was given them, and a layer of data alone.
  const single = overlay(String.raw`lowerdir+=/a:b\054c,lowerdir+=/d\134e,datadir+=/data,upperdir=/u\054`);
  for (const path of ['lowerdir /a:b,c', 'lowerdir /d\\e', 'lowerdir /data', 'upperdir /u,'])
    assert.ok(single.includes(path), path);
  assert.ok(overlay('lowerdir=/l1::/data').includes('lowerdir /data'));
});

test('a lower directory that is not absolute → it is looked for in those above the others, as Docker and containerd mount', () => {
  const paths = shown(
    '65 60 0:39 / /var/lib/x/1/merged rw - overlay overlay rw,lowerdir=l/ABC:l/DEF,upperdir=/var/lib/x/1/diff,workdir=/var/lib/x/1/work',
  );
  for (const path of ['/var/lib/x/l/ABC', '/var/lib/x/l/DEF']) assert.ok(paths.includes(`lowerdir ${path}`), paths.join('\n'));
});

test('FUSE and eCryptfs → the directory that they show, where they say it; a device, a tag or a memory file system → none', () => {
  const mount = (type: string, source: string): readonly string[] => shown(`63 60 0:39 / /m rw - ${type} ${source} rw,user_id=0`);
  assert.deepEqual(mount('fuse', String.raw`/back\040x`), ['backing /back x']);
  assert.deepEqual(mount('fuse.gocryptfs', '/home/a/cipher'), ['backing /home/a/cipher']);
  assert.deepEqual(mount('fuse.mergerfs', '/d1:/d2'), ['backing /d1:/d2', 'backing /d1', 'backing /d2']);
  assert.deepEqual(mount('ecryptfs', '/home/.ecryptfs/a'), ['backing /home/.ecryptfs/a']);
  for (const [type, source] of [
    ['fuseblk', '/dev/sda1'],
    ['fuse.sshfs', 'host:/srv'],
    ['tmpfs', '/tmp'],
    ['ext4', '/dev/sda1'],
  ] as const)
    assert.deepEqual(mount(type, source), [], type);
});

test('a directory by another name, or as another process sees it → it is known by its number', onLinux, (t) => {
  const directory = temporaryDirectory(t);
  for (const name of ['upper', 'root', 'root/inner']) fs.mkdirSync(`${directory}/${name}`);
  fs.symlinkSync('upper', `${directory}/link`);
  const at = (name: string) => fs.statSync(`${directory}/${name}`, { bigint: true });
  const sides = new Sides();
  sides.add(`65 60 0:39 / /m rw - overlay overlay rw,lowerdir=/none,upperdir=${directory}/link,workdir=/none`);
  sides.add('66 60 0:40 / /n rw - fuse /inner rw', `${directory}/root`);
  assert.deepEqual(sides.wrongSide(at('upper')), {
    path: `${directory}/link`,
    as: 'upperdir',
    mountPoint: '/m',
    type: 'overlay',
  });
  assert.deepEqual(sides.wrongSide(at('root/inner'))?.as, 'backing');
  assert.equal(sides.wrongSide(at('root')), undefined);
  assert.equal(sides.typeOf(at('.')), undefined);
  sides.add(fs.readFileSync('/proc/self/mountinfo', 'utf8'), '', true);
  assert.match(sides.typeOf(fs.statSync('/proc', { bigint: true })) ?? '', /^proc$/);
});
