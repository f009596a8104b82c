import type { Server } from 'node:net';
import { removeSocketFile } from '../claim/release.js';
import { run } from '../kernel/kernel.js';
import { kernel } from '../kernel/posix.js';
import { isDeno, listenerOfDeno, tlsOptionsOfBun } from '../kernel/runtime.js';
import { explainMistakes, Mistake } from '../request/mistake.js';
import type { Request } from '../request/options.js';
import { nobody } from './acceptor.js';
import { beginAttempt, endAttempt } from './attempt.js';
import { Claim } from './claim.js';
import type { PathnameHold } from './held.js';
import type { Hold } from './hold.js';
import { isInherited } from './inherit.js';
import { obtain } from './obtain.js';
import type { Pending } from './pending.js';
import { acceptsDescriptor } from './relay.js';

/**
 * Whether the runtime itself shall listen on the path. It is the fastest way for a server that
 * takes no descriptor, as long as no option needs one.
 */
export function listensByName({ server, request }: Pending): boolean {
  const { judge, takeoverMs, handover, rebind } = request;
  if (acceptsDescriptor(server) || judge !== undefined || takeoverMs !== undefined || handover || rebind) return false;
  const attempt = beginAttempt(request);
  try {
    return !('abstract' in attempt.target) && !attempt.target.place.long && !isInherited(attempt.target);
  } finally {
    endAttempt(attempt);
  }
}

/** Refuses options that this runtime would not keep. Throws a `Mistake`. */
export function refuseUnsupported(server: Server, { judge }: Request): void {
  try {
    if (judge !== undefined && isDeno) listenerOfDeno();
    if (!acceptsDescriptor(server)) tlsOptionsOfBun(server);
  } catch (error) {
    throw new Mistake('unsupported', 'ENOTSUP', {
      wrong: (error as Error).message,
      right: 'use an older version of it, or Node.js',
    });
  }
}

/**
 * Makes the runtime itself listen on the path, under the claim: for a server that takes no
 * descriptor.
 *
 * The claim is made as usual, so every obstacle is found, and a dead socket is removed. Then our
 * own socket makes room for the runtime's. Both happen under the lock: among processes that use
 * reuseaddr, one has the address (G1), and a crash blocks none (G3).
 *
 * It is weaker than elsewhere. A client that connects between the two sees a reset. A stray may
 * bind between them, and then this fails. At `close` the runtime unlinks by name, though under the
 * lock. At exit the file stays, for the next start to remove.
 */
export async function listenByName(pending: Pending): Promise<Claim> {
  const { server } = pending;
  const hold = await obtain(pending.request, nobody);
  pending.end();
  try {
    pending.throwIfCalledOff();
    await makeRoomAndListen(server, hold);
  } catch (error) {
    hold.surrender();
    throw error;
  }
  const close = server.close;
  server.close = (callback) => {
    hold.surrender(() => close.call(server, callback));
    return server;
  };
  // A listener of 'listening' closed it before this line.
  if (!server.listening) hold.surrender();
  return new Claim(hold, () => {
    if (!hold.released && server.listening) server.close();
  });
}

/** The umask sets the mode, so that the file never has a wider one, not for a moment (G6). */
async function makeRoomAndListen(server: Server, hold: Hold): Promise<void> {
  const { text, terms } = hold.request;
  const held = explainMistakes(text, 'listen on', () => heldByName(hold));
  const { place } = held;
  run(kernel, removeSocketFile(place, held));
  kernel.close(held.listenFd);
  const umask = terms.mode === undefined ? undefined : process.umask(0o777 & ~terms.mode);
  let listening: Promise<void>;
  try {
    listening = listenOnPath(server, place.path);
  } finally {
    if (umask !== undefined) process.umask(umask);
  }
  await listening;
  if (terms.uid !== undefined || terms.gid !== undefined) {
    kernel.fchownat(place.directory.fd, place.name, terms.uid ?? unchanged, terms.gid ?? unchanged);
  }
}

/** The claim, if the runtime can bind its path by itself. */
function heldByName({ held }: Hold): PathnameHold {
  if (held.place === undefined) throw unsupported('an inherited socket');
  if (held.place.long) throw unsupported('a path of this length');
  return held;
}

/** chown(2): leave it. */
const unchanged = 0xffff_ffff;

function listenOnPath(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function unsupported(what: string): Mistake {
  return new Mistake('unsupported', 'ENOTSUP', {
    wrong: `this runtime's server does not accept on a descriptor, which ${what} needs`,
    right: 'use a server of node:net, or Node.js',
  });
}
