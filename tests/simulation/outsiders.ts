import { hasConnections, type SocketType } from '#dist/address/socketType.js';
import type { Place } from '#dist/claim/place.js';
import { AT_FDCWD, failed, sys, type Conversation } from '#dist/kernel/kernel.js';
import type { Member } from './machine.js';
import type { Phase, Standing } from './process.js';

/** The place of the renamer's file before. */
export const otherPath = '/run/other';

/** The outsiders of these letters, in their order. */
export function outsiders(place: Place, letters: string): Member[] {
  const lives: Readonly<Record<string, Phase>> = {
    D: stranger(place, false, 'datagram'),
    E: stranger(place, true, 'datagram'),
    K: cleaner(place),
    L: unlinker(place.lockPath),
    M: unlinker(place.lockPath),
    R: renamer(otherPath, place.path),
    S: stranger(place, false),
    T: stranger(place, true),
    U: unlinker(place.path),
  };
  return Array.from(letters, (letter) => ({ letter, life: lives[letter]! }));
}

/**
 * A program that knows nothing of the lock: it does its few calls, at any moments, and stays. It
 * may die at any moment.
 */
export function outsider(name: string, calls: () => Conversation<unknown>, dies = false): Phase {
  const standing = (doing: Standing['doing']): Standing => ({ role: 'outsider', doing });
  const over: Phase = { key: `${name} over`, first: standing('done'), later: standing('done') };
  const dead = dies && { crash: { phase: () => over, closesAll: true } };
  const stays: Phase = { key: `${name} stays`, first: standing('meddling'), later: standing('meddling'), ...dead };
  return {
    key: name,
    first: standing('idle'),
    later: standing('meddling'),
    begin: calls,
    next: () => ({ phase: stays }),
    ...dead,
  };
}

/** L, M, U: a program that removes a file. */
function unlinker(path: string): Phase {
  return outsider(`unlink ${path}`, () => sys.unlinkat(AT_FDCWD, path));
}

/** R: a program that renames a regular file over the path. */
function renamer(from: string, to: string): Phase {
  return outsider(`rename ${from}`, () => sys.renameat2(AT_FDCWD, from, to, ''));
}

/**
 * S, T, D, E: a program that binds the path without the lock, and may die; T and E unlink it first,
 * as many do.
 */
function stranger({ path }: Place, unlinksFirst: boolean, type?: SocketType): Phase {
  return outsider(
    `stranger ${unlinksFirst} ${type}`,
    function* () {
      if (unlinksFirst) yield* sys.unlinkat(AT_FDCWD, path);
      const fd = yield* sys.socket(type);
      if (failed(fd)) return;
      if ((yield* sys.bind(fd, path)) === 0) yield* hasConnections(type) ? sys.listen(fd, 1) : sys.geteuid();
      else yield* sys.close(fd);
    },
    true,
  );
}

/** K: systemd-tmpfiles(8): locks a file for a moment while it looks at its age. */
function cleaner({ lockPath }: Place): Phase {
  return outsider('cleaner', function* () {
    const fd = yield* sys.openat(AT_FDCWD, lockPath, 'O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC', 0);
    if (failed(fd)) return;
    yield* sys.flock(fd, 'LOCK_EX|LOCK_NB');
    yield* sys.close(fd);
  });
}
