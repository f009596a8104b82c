import { once } from 'node:events';
import net from 'node:net';

/**
 * Connects, and gives what the server says until it ends the connection: its pid, from a
 * `holder.mjs`.
 */
export async function greeting(path: string): Promise<string> {
  const client = net.connect(path);
  client.setEncoding('utf8');
  let said = '';
  client.on('data', (text: string) => {
    said += text;
  });
  await once(client, 'end');
  client.destroy();
  return said;
}

/** Connects to a server that greets and keeps the connection: it has accepted it then. */
export async function connected(path: string): Promise<net.Socket> {
  const client = net.connect(path);
  await once(client, 'data');
  return client;
}

/**
 * Connects again and again in one turn of the event loop, in which no process can accept: how many
 * of them the listener's queue took, before connect(2) failed with EAGAIN. Linux takes one more
 * than the backlog.
 */
export async function queuedConnections(path: string, attemptsMax: number): Promise<number> {
  const clients = Array.from({ length: attemptsMax }, () => net.connect(path));
  const outcomes = await Promise.all(
    clients.map((client) =>
      once(client, 'connect').then(
        () => 'connect',
        () => 'refused',
      ),
    ),
  );
  for (const client of clients) client.destroy();
  return outcomes.filter((outcome) => outcome === 'connect').length;
}
