import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import type { TestContext } from 'node:test';
import { kernel } from '#dist/kernel/posix.js';
import { temporaryDirectory } from './directory.js';

/** Two connected stream sockets, and what closes each of them. Both are closed after the test. */
export interface ConnectedPair {
  readonly client: number;
  readonly server: number;
  closeClient(): void;
  /** Another part of the program has closed it. */
  clientClosed(): void;
  closeServer(): Promise<void>;
}

export async function connectedPair(t: TestContext): Promise<ConnectedPair> {
  const path = `${temporaryDirectory(t)}/s`;
  // Paused, because a socket that flows reads, and reading loses descriptors.
  const server = net.createServer({ pauseOnConnect: true }).listen(path);
  await once(server, 'listening');
  const client = kernel.connect(path);
  if (typeof client === 'string') assert.fail(client);
  const [accepted] = (await once(server, 'connection')) as [net.Socket];
  server.close();
  accepted.on('error', () => undefined);
  let open = true;
  const closeClient = () => {
    if (open) kernel.close(client);
    open = false;
  };
  const clientClosed = () => {
    open = false;
  };
  const closeServer = async () => {
    if (accepted.closed) return;
    accepted.destroy();
    await once(accepted, 'close');
  };
  t.after(async () => {
    closeClient();
    await closeServer();
  });
  const { _handle: handle } = accepted as unknown as { readonly _handle: { readonly fd: number } };
  return { client, server: handle.fd, closeClient, clientClosed, closeServer };
}
