import { isRefusal, type Refusal } from '../claim/refusal.js';
import { HandoverSocket } from '../handover/socket.js';
import type { Request } from '../request/options.js';
import type { Acceptor } from './acceptor.js';
import { Hold, type Held } from './hold.js';

/**
 * The hold of a claim that was just made, with the hand-over socket where that was asked for. It comes before the acceptor, so that
 * nobody can find the address held by us, and that socket not there.
 */
export function holdFor(request: Request, held: Held): Hold | Refusal {
  const hold = new Hold(held, request.text);
  if (!request.handover) return hold;
  const { address } = request;
  try {
    const socket = HandoverSocket.bind(hold.held, address.kind === 'abstract' ? address.name : undefined);
    if (!isRefusal(socket)) {
      hold.handover = socket;
      return hold;
    }
    hold.surrender();
    return socket;
  } catch (error) {
    hold.surrender();
    throw error;
  }
}

/** Closes the listening socket of an acceptor that may have started. */
export function giveBack(hold: Hold, acceptor: Acceptor): void {
  acceptor.takeBack();
  hold.closeSocket();
}

/** Has the acceptor accept on a claim that we hold alone. */
export async function start(hold: Hold, acceptor: Acceptor): Promise<Hold> {
  try {
    await acceptor.start(hold.listenFd);
    return hold;
  } catch (error) {
    hold.surrender(() => giveBack(hold, acceptor));
    throw error;
  }
}
