import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

/** Sends a line and gives the pid that the answer begins with. */
export async function askLine(path: string): Promise<number> {
  const client = net.connect(path);
  client.setEncoding('utf8');
  let said = '';
  client.on('data', (text: string) => (said += text));
  client.write('hello\n');
  await once(client, 'end');
  client.destroy();
  const answer = /^(\d+) hello\n$/.exec(said);
  if (answer === null) throw new Error(`answered ${JSON.stringify(said)}`);
  return Number(answer[1]);
}

/** Likewise over HTTP. */
export async function askHttp(path: string): Promise<number> {
  const request = http.get({ socketPath: path, path: '/hello', agent: false });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let said = '';
  for await (const text of response.setEncoding('utf8')) said += text as string;
  const answer = /^(\d+) \/hello$/.exec(said);
  if (answer === null) throw new Error(`answered ${JSON.stringify(said)}`);
  return Number(answer[1]);
}
