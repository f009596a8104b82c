import { acquireNow } from '../server/acquire.js';
import { finish } from '../server/begin.js';
import { serveHandovers } from '../server/claim.js';
import type { Hold } from '../server/hold.js';
import { sayReady } from '../server/inherit.js';
import { obtain } from '../server/obtain.js';
import { rebind } from '../server/rebind.js';
import { attempt } from '../server/target.js';
import { watchHold } from '../server/watch.js';
import type { Request } from '../request/options.js';
import { ClaimedHandle, type PreloadedServer } from './acceptor.js';
import type { CreateServerHandle, ListeningHandle } from './node.js';

/**
 * Claims an address at once, and makes the server listen on it. A socket that was inherited for
 * this address is used as it is.
 */
export function claimNow(request: Request, server: PreloadedServer): void {
  const hold = acquireNow(request);
  try {
    server.start(hold.listenFd);
  } catch (error) {
    hold.surrender();
    throw error;
  }
  server.hold = hold;
  recover(request, hold, server, () => undefined);
  if (hold.inherited) sayReady();
}

/**
 * Does the same in the ways that take time: waits for the address, asks for it, or serves
 * handovers.
 */
export async function claimLater(request: Request, server: PreloadedServer): Promise<void> {
  const hold = await attempt(request, (target) => obtain(request, target, server));
  server.hold = hold;
  finish(hold, server, () => {
    const serve = (): void => serveHandovers(request, hold, server, () => undefined);
    if (!hold.released) serve();
    recover(request, hold, server, serve);
    if (hold.inherited) sayReady();
  });
}

/** Listens again when another process has removed the files of the claim, with REUSEADDR=rebind. */
function recover(request: Request, hold: Hold, server: PreloadedServer, serve: () => void): void {
  if (request.rebind) watchHold(hold, (what) => rebind(request, hold, server, what, serve));
}

/** Claims an address at once, for a handle that listens later. */
export function claimHandle(request: Request, create: CreateServerHandle): ListeningHandle {
  const hold = acquireNow(request);
  try {
    const claimed = new ClaimedHandle(hold.listenFd, request.text, create);
    claimed.hold = hold;
    if (hold.inherited) sayReady();
    return claimed.handle;
  } catch (error) {
    hold.surrender();
    throw error;
  }
}
