import type { Request } from '../request/readRequest.js';
import { Claim } from './claim.js';
import { sayReady } from './inherit.js';
import { acquireHold } from './acquireHold.js';
import type { OwnedAcceptor } from './ownedAcceptor.js';

/**
 * Makes the claim for a server or socket, which has started when this returns.
 *
 * @param close closes it, for a release
 * @param prepare gets the claim before handovers are served
 */
export async function acquireFor(
  request: Request,
  acceptor: OwnedAcceptor,
  close: () => void,
  prepare: (claim: Claim) => void = () => undefined,
): Promise<Claim> {
  const hold = await acquireHold(request, acceptor);
  acceptor.onClose = (closeHandle) => hold.release(closeHandle);
  // A listener of 'listening' closed it before this line.
  if (acceptor.closed) hold.release();
  const release = (): void => {
    if (!hold.released) close();
  };
  return hold.finish(() => {
    const claim = new Claim(hold, release);
    prepare(claim);
    hold.serve(() => claim.emit('handover'));
    if (hold.inherited) sayReady(hold.supervisor);
    return claim;
  });
}
