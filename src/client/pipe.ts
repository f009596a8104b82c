import { createConnection, type Socket } from 'node:net';
import type { FailedConnect } from '../errors/explain.js';

/** Tries once to connect to a Windows pipe, which Node does by itself. */
export function connectPipe(path: string, allowHalfOpen: boolean): Promise<Socket | FailedConnect> {
  return new Promise((resolve) => {
    const socket = createConnection({ path, allowHalfOpen });
    const onError = ({ code }: NodeJS.ErrnoException): void => resolve(explainPipe(code as FailedConnect['errno']));
    socket.once('error', onError);
    socket.once('connect', () => {
      socket.off('error', onError);
      resolve(socket);
    });
  });
}

function explainPipe(errno: FailedConnect['errno']): FailedConnect {
  const known = { ENOENT: 'absent', EBUSY: 'backlog-full', EACCES: 'denied', EPERM: 'denied' } as const;
  return { unreachable: known[errno as keyof typeof known] ?? 'system', errno, syscall: 'connect' };
}
