/**
 * On each line `PATH URL CLIENTS MILLISECONDS`, sends requests over new connections, one after the
 * other for each client, and prints how many a second were answered, and by which processes.
 */
import { writeSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

/** The outcome for all clients. */
export interface Answers {
  readonly perSecond: number;
  readonly byProcess: Readonly<Record<string, number>>;
}

for await (const line of createInterface({ input: process.stdin })) {
  const [path = '', url = '', clients, milliseconds] = line.split(' ');
  const byProcess: Record<string, number> = {};
  const begin = performance.now();
  const until = begin + Number(milliseconds);
  const askUntilThen = async (): Promise<void> => {
    while (performance.now() < until) {
      const pid = await ask(path, url);
      byProcess[pid] = (byProcess[pid] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: Number(clients) }, askUntilThen));
  const answered = Object.values(byProcess).reduce((sum, count) => sum + count, 0);
  const answers: Answers = { perSecond: answered / ((performance.now() - begin) / 1000), byProcess };
  writeSync(1, `${JSON.stringify(answers)}\n`);
}

/** Returns the body of the answer. */
function ask(path: string, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(path, () => socket.write(`GET ${url} HTTP/1.0\r\n\r\n`));
    socket.setEncoding('latin1');
    socket.on('data', (bytes: string) => (text += bytes));
    socket.on('error', reject);
    socket.on('end', () => {
      socket.end();
      const [, body = ''] = text.split('\r\n\r\n');
      if (body === '') reject(new Error(`No answer, but ${JSON.stringify(text)}.`));
      else resolve(body);
    });
  });
}
