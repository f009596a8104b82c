import { isRefusal, type Refusal } from '../claim/refusal.js';
import { HandoverSocket } from '../handover/socket.js';
import type { Request } from '../request/options.js';
import type { Acceptor } from './acceptor.js';
import { Hold, type Held } from './hold.js';

/**
 * Returns the hold of a claim that was just made, with the handover socket if one was requested.
 * This comes before the acceptor: no process may find the address held without that socket.
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

/** Makes the acceptor accept on a claim that this process holds alone. */
export async function start(hold: Hold, acceptor: Acceptor): Promise<Hold> {
  try {
    await acceptor.start(hold.listenFd);
    return hold;
  } catch (error) {
    hold.surrender(() => giveBack(hold, acceptor));
    throw error;
  }
}

/**
 * Makes the last steps of a start. If one throws, gives the claim up: the caller would have nothing
 * to release it with.
 */
export function finish<Outcome>(hold: Hold, acceptor: Acceptor, steps: () => Outcome): Outcome {
  try {
    return steps();
  } catch (error) {
    hold.surrender(() => giveBack(hold, acceptor));
    throw error;
  }
}
