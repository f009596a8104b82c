/** A mounted file system: one line of mountinfo, proc_pid_mountinfo(5). */
export interface Mount {
  /** `st_dev` of what is on it, but for the subvolumes of btrfs: `MAJOR:MINOR`. */
  readonly device: string;
  readonly mountPoint: string;
  /** `ext4`, `overlay`, `fuse.bindfs`. */
  readonly type: string;
  /** A device, a tag, or, where the file system shows another directory, mostly that. */
  readonly source: string;
  /** What else the file system says of itself: names and values, without those that have no value. */
  readonly options: readonly (readonly [name: string, value: string])[];
}

/** Reads a mountinfo. What is not as it should be is left out. */
export function parseMountinfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    // `36 35 98:0 /root /mount rw,noatime shared:1 - ext3 /dev/root rw,errors=continue`; before the dash may be any number of fields.
    const fields = line.split(' ');
    const [, , device = '', , mountPoint = ''] = fields;
    const [type = '', source = '', options = ''] = fields.slice(fields.indexOf('-') + 1);
    if (!/^\d+:\d+$/.test(device) || type === '' || mountPoint === '') return [];
    const pairs = options.split(',').flatMap((option): (readonly [string, string])[] => {
      const equals = option.indexOf('=');
      return equals < 0 ? [] : [[option.slice(0, equals), unescaped(option.slice(equals + 1))]];
    });
    return [{ device, mountPoint: unescaped(mountPoint), type, source: unescaped(source), options: pairs }];
  });
}

/** The kernel writes blanks, commas and backslashes as three octal digits: seq_escape() in fs/seq_file.c. */
function unescaped(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_escape, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** A directory that a mount shows in another place, and how it is called there. */
export interface ShownDirectory {
  readonly path: string;
  readonly as: 'upperdir' | 'lowerdir' | 'workdir' | 'backing';
}

/**
 * The directories that a mount shows in another place, as far as it tells. Each reading of a name that could be meant is given: one too
 * many names a directory that is not there, or one that is left alone.
 */
export function directoriesShown({ type, source, options, mountPoint }: Mount): readonly ShownDirectory[] {
  if (type === 'overlay') {
    // A path that is not absolute began at the directory of the process that mounted it: mostly one above the others.
    const above = [mountPoint, ...options.filter(([name]) => name in layers).map(([, path]) => path)].flatMap(ancestors);
    return options.flatMap(([name, value]) => {
      const as = layers[name];
      const paths = as === undefined ? [] : readings(value, as === 'lowerdir');
      const absolute = paths.flatMap((path) => (path.startsWith('/') ? [path] : above.map((folder) => `${folder}${path}`)));
      return [...new Set(absolute)].map((path) => ({ path, as: as as ShownDirectory['as'] }));
    });
  }
  // bindfs, gocryptfs and others give the directory that they show as the source; a union of several may have colons between.
  if (!/^fuse(\.|$)|^ecryptfs$/.test(type) || !source.startsWith('/')) return [];
  const paths = new Set([source, ...source.split(':').filter((path) => path.startsWith('/'))]);
  return [...paths].map((path) => ({ path, as: 'backing' }));
}

/** `lowerdir+` and `datadir+` come one by one, since Linux 6.8. */
const layers: Readonly<Record<string, 'upperdir' | 'lowerdir' | 'workdir'>> = {
  upperdir: 'upperdir',
  workdir: 'workdir',
  lowerdir: 'lowerdir',
  'lowerdir+': 'lowerdir',
  'datadir+': 'lowerdir',
};

/**
 * The paths in `upperdir=A`, or `lowerdir=A:B` (and `A::B` before a layer of data alone). Given to mount(2), a comma, a colon or a
 * backslash in a name has a backslash before it, and is shown with that; given by fsconfig(2) it has none.
 */
function readings(value: string, several: boolean): readonly string[] {
  const parts = several ? (value.match(/(?:\\.|[^:\\])+/gs) ?? []) : [value];
  const bare = parts.map((part) => part.replaceAll(/\\(.)/gs, '$1'));
  return [...new Set([value, ...parts, ...bare])].filter((path) => path !== '');
}

/** `/`, `/a/` and `/a/b/` of `/a/b/c`. */
function ancestors(path: string): readonly string[] {
  if (!path.startsWith('/')) return [];
  const parts = path.split('/').slice(0, -1);
  return parts.map((_part, index) => `${parts.slice(0, index + 1).join('/')}/`);
}
