import { nobody } from '../server/acceptor.js';
import type { Hold } from '../server/hold.js';
import { sayReady } from '../server/inherit.js';
import { acquireHold, acquireHoldNow } from '../server/acquireHold.js';
import { rebind } from '../server/rebind.js';
import { watchHold } from '../server/displacement.js';
import type { Request } from '../request/readRequest.js';
import { ClaimedHandle, type PreloadedServer } from './preloadedServer.js';
import type { CreateServerHandle, ListeningHandle } from './node.js';

/**
 * Claims an address at once, and makes the server listen on it. A socket that was inherited for
 * this address is used as it is.
 */
export function acquireNow(request: Request, server: PreloadedServer): void {
  const hold = acquireHoldNow(request, server);
  try {
    server.start(hold.listenFd);
  } catch (error) {
    hold.release();
    throw error;
  }
  server.hold = hold;
  settle(hold);
}

/**
 * Does the same in the ways that take time: waits for the address, asks for it, or serves
 * handovers.
 */
export async function acquireLater(request: Request, server: PreloadedServer): Promise<void> {
  const hold = await acquireHold(request, server);
  server.hold = hold;
  hold.finish(() => {
    if (!hold.released) hold.serve(() => undefined);
    settle(hold);
  });
}

/**
 * With REUSEADDR=rebind, listens again when another process has removed the files of the claim. An
 * inherited socket is ready now.
 */
function settle(hold: Hold): void {
  if (hold.request.rebind) watchHold(hold, (what) => rebind(hold, what));
  if (hold.inherited) sayReady(hold.supervisor);
}

/** Claims an address at once, for a handle that listens later. */
export function acquireHandle(request: Request, create: CreateServerHandle): ListeningHandle {
  const hold = acquireHoldNow(request, nobody);
  try {
    const claimed = new ClaimedHandle(hold.listenFd, request.text, create);
    claimed.hold = hold;
    if (hold.inherited) sayReady(hold.supervisor);
    return claimed.handle;
  } catch (error) {
    hold.release();
    throw error;
  }
}
