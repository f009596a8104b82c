import { failed, sys, type Operation } from '../kernel/kernel.js';
import type { PathnameClaim } from './acquire.js';
import { explainKept, grant, type Identity, type Terms } from './bindUnderLock.js';
import { pathOf, throughOf, type Named, type Place } from './place.js';
import { isRefusal, refuse, type Refusal } from './refusal.js';
import { isInode, removeIf } from './removeIf.js';

/**
 * Gives the name of a claim to a socket that the runtime has bound under a private name, in place
 * of the claim's own socket, which has never listened. Returns its file, which then has both names.
 *
 * The directory of the private name is for this user alone. So no other user can connect before the
 * mode is set (G6), and no client finds the socket before it has the name of the address.
 */
export function* publish(
  place: Place,
  { identity }: Pick<PathnameClaim, 'identity'>,
  terms: Terms,
  bound: Named,
): Operation<Identity | Refusal> {
  const file = yield* sys.fstatat(bound.directory.fd, bound.name);
  if (failed(file)) return refuse('system', file, 'lstat', pathOf(bound));
  // Sticky, as for a long path: systemd-tmpfiles(8) does not find the socket by its name.
  const granted = yield* grant({ ...place, ...bound, long: true }, terms, file);
  if (granted === 'displaced') return refuse('unstable', 'EADDRINUSE', 'bind', place.path);
  if (isRefusal(granted)) return granted;
  const removal = yield* removeIf(place, isInode(identity));
  if (removal.outcome !== 'removed' && removal.outcome !== 'gone') return explainKept(place, removal);
  const linked = yield* sys.linkat(place.directory.fd, throughOf(bound), place.name);
  if (linked === 'EEXIST') return refuse('stray', 'EADDRINUSE', 'bind', place.path);
  if (failed(linked)) return refuse('system', linked, 'link', place.path);
  return { dev: file.dev, ino: file.ino };
}
