/** A mounted file system: one line of mountinfo, proc_pid_mountinfo(5). */
export interface Mount {
  /** `st_dev` of the files on it: `MAJOR:MINOR`. On btrfs, subvolumes have numbers of their own. */
  readonly device: string;
  readonly mountPoint: string;
  /** `ext4`, `overlay`, `fuse.bindfs`. */
  readonly type: string;
  /**
   * A device or a tag. If the file system shows another directory, this is often that directory.
   */
  readonly source: string;
  /**
   * The other options of the file system: names and values. Options without a value are left out.
   */
  readonly options: readonly (readonly [name: string, value: string])[];
}

/** Reads a mountinfo. Leaves out lines that are malformed. */
export function parseMountinfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    // `36 35 98:0 /root /mount rw,noatime shared:1 - ext3 /dev/root rw,errors=continue`: the number
    // of fields before the dash varies.
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

/**
 * The kernel writes blanks, commas and backslashes as three octal digits: seq_escape() in
 * fs/seq_file.c.
 */
function unescaped(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_escape, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** A directory that a mount shows in another place, and its name there. */
export interface ShownDirectory {
  readonly path: string;
  readonly as: 'upperdir' | 'lowerdir' | 'workdir' | 'backing';
}

/**
 * Returns the directories that a mount shows in another place, as far as it tells.
 *
 * A name may be ambiguous, and then every reading of it is returned. A reading that is wrong names
 * a directory that is absent, or one that is left alone.
 */
export function directoriesShown({ type, source, options, mountPoint }: Mount): readonly ShownDirectory[] {
  if (type === 'overlay') {
    // A relative path began at the working directory of the process that mounted it, which is
    // usually an ancestor of another path.
    const above = [mountPoint, ...options.filter(([name]) => name in layers).map(([, path]) => path)].flatMap(ancestors);
    return options.flatMap(([name, value]) => {
      const as = layers[name];
      const paths = as === undefined ? [] : readings(value, as === 'lowerdir');
      const absolute = paths.flatMap((path) => (path.startsWith('/') ? [path] : above.map((folder) => `${folder}${path}`)));
      return [...new Set(absolute)].map((path) => ({ path, as: as as ShownDirectory['as'] }));
    });
  }
  // bindfs, gocryptfs and others name the directory that they show as the source. A union of
  // several may separate them with colons.
  if (!/^fuse(\.|$)|^ecryptfs$/.test(type) || !source.startsWith('/')) return [];
  const paths = new Set([source, ...source.split(':').filter((path) => path.startsWith('/'))]);
  return [...paths].map((path) => ({ path, as: 'backing' }));
}

/** Since Linux 6.8, `lowerdir+` and `datadir+` add one layer each. */
const layers: Readonly<Record<string, 'upperdir' | 'lowerdir' | 'workdir'>> = {
  upperdir: 'upperdir',
  workdir: 'workdir',
  lowerdir: 'lowerdir',
  'lowerdir+': 'lowerdir',
  'datadir+': 'lowerdir',
};

/**
 * Returns the paths in `upperdir=A`, or `lowerdir=A:B` (and `A::B` before a layer of data alone).
 *
 * mount(2) expects a backslash before a comma, a colon or a backslash in a name, and mountinfo
 * shows it. fsconfig(2) expects none.
 */
function readings(value: string, several: boolean): readonly string[] {
  const parts = several ? (value.match(/(?:\\.|[^:\\])+/gs) ?? []) : [value];
  const bare = parts.map((part) => part.replaceAll(/\\(.)/gs, '$1'));
  return [...new Set([value, ...parts, ...bare])].filter((path) => path !== '');
}

/** Returns `/`, `/a/` and `/a/b/` for `/a/b/c`. */
function ancestors(path: string): readonly string[] {
  if (!path.startsWith('/')) return [];
  const parts = path.split('/').slice(0, -1);
  return parts.map((_part, index) => `${parts.slice(0, index + 1).join('/')}/`);
}
