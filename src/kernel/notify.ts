import { addon, type Credentials } from './addon.js';
import type { Errno } from './kernel.js';
import { Descriptor } from './descriptor.js';
import { errnoName } from './errno.js';

/*
 * sd_notify(3): datagrams such as `READY=1` to the socket that NOTIFY_SOCKET names.
 */

/** A message, and the process that sent it according to the kernel. */
export interface Notification {
  readonly text: string;
  readonly pid: number;
}

/** Opens the receiving end, under a pathname or a NUL and an abstract name. `ENOSYS`: not Linux. */
export function openNotifySocket(name: string): number | Errno {
  const fd = addon().notifySocket();
  if (fd < 0) return errnoName(fd);
  const socket = Descriptor.opened(fd);
  let bound = -1;
  try {
    bound = addon().bind(fd, name);
    return bound === 0 ? fd : errnoName(bound);
  } finally {
    if (bound !== 0) socket.close();
  }
}

/**
 * Returns the next message of one of these processes. Drops a limited number of messages of other
 * processes unread. `EAGAIN`: there was no message. `EBUSY`: only messages of others, and there may
 * be more.
 */
export function receiveNotification(fd: number, pids: readonly number[]): Notification | Errno {
  const text = addon().receiveNotification(fd, sender, Uint32Array.from(pids));
  return typeof text === 'number' ? errnoName(text) : { text, pid: sender[0] };
}

/** Sends a message to the socket of this name, as in NOTIFY_SOCKET: `@` begins an abstract name. */
export function sendNotification(socket: string, text: string): 0 | Errno {
  const fd = addon().notifySocket();
  if (fd < 0) return errnoName(fd);
  const connection = Descriptor.opened(fd);
  try {
    const connected = addon().connect(fd, socket.replace(/^@/, '\0'));
    const sent = connected < 0 ? connected : addon().sendmsg(fd, text, new Uint32Array(0));
    return sent < 0 ? errnoName(sent) : 0;
  } finally {
    connection.close();
  }
}

const sender = new Uint32Array(3) as Credentials;
