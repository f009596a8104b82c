import { addon, type Credentials } from './addon.js';
import type { Errno } from './kernel.js';
import { Descriptor } from './descriptor.js';
import { errnoName } from './errno.js';

/*
 * sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names, `READY=1`.
 */

/** A message, and the process that sent it as the kernel says. */
export interface Notification {
  readonly text: string;
  readonly pid: number;
}

/** Opens the receiving end, under a pathname or a NUL and an abstract name. Elsewhere than on Linux: `ENOSYS`. */
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
 * The next message of one of these processes. A limited number of messages of other processes is dropped, without being read.
 * `EAGAIN`: there was no message. `EBUSY`: only others', and there may be more.
 */
export function receiveNotification(fd: number, pids: readonly number[]): Notification | Errno {
  const text = addon().receiveNotification(fd, sender, Uint32Array.from(pids));
  return typeof text === 'number' ? errnoName(text) : { text, pid: sender[0] };
}

/** Sends a message to the socket of this name, as NOTIFY_SOCKET has it: `@` is an abstract name. */
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
