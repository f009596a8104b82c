import { createConnection, type Socket } from 'node:net';
import type { FailedConnect } from '../errors/explain.js';

/** Tries once to connect to a Windows pipe. Node does this by itself. */
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
  return { unreachable: causes.get(errno) ?? 'system', errno, syscall: 'connect' };
}

const causes: ReadonlyMap<string, FailedConnect['unreachable']> = new Map([
  ['ENOENT', 'absent'],
  ['EBUSY', 'backlog-full'],
  ['EACCES', 'denied'],
  ['EPERM', 'denied'],
]);
