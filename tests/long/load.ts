import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import type { Runtime } from '../package/installed.js';

/** The results of clients while one server after another took an address over. */
export interface Load {
  readonly requests: number;
  readonly errors: readonly string[];
  /** How many servers answered. */
  readonly servers: number;
  /** How the servers ended that had handed the address over. */
  readonly ends: readonly (number | string | null)[];
}

/**
 * Clients send requests without a pause, half of them on connections that they keep (http), while
 * the server is replaced over and over by another process of the runtime.
 */
export async function replaceUnderLoad(
  runtime: Runtime,
  kind: 'http' | 'net',
  folder: string,
  { requests, replacements }: { requests: number; replacements: number },
): Promise<Load> {
  const address = join(folder, `load-${runtime.name.replaceAll(/\W/g, '')}-${kind}.sock`);
  const answered = new Set<string>();
  const errors: string[] = [];
  const ends: Promise<number | string | null>[] = [];
  let current = await startInstance(runtime, address, kind, folder);
  let sent = 0;
  const step = Math.floor(requests / (replacements + 1));
  const replace = async (): Promise<void> => {
    const before = current;
    current = await startInstance(runtime, address, kind, folder);
    ends.push(before.ended);
  };
  let replaced = Promise.resolve();
  const keeping = new http.Agent({ keepAlive: true });
  const client = async (number: number): Promise<void> => {
    const ask = kind === 'net' ? askNet : (path: string) => askHttp(path, number % 2 === 0 ? keeping : false);
    while (sent < requests) {
      sent += 1;
      if (sent % step === 0 && sent / step <= replacements) replaced = replaced.then(replace);
      await ask(address).then(
        (answer) => (answer.startsWith('hello') ? answered.add(answer) : errors.push(`answered ${JSON.stringify(answer)}`)),
        (error: unknown) => errors.push(String(error)),
      );
    }
  };
  try {
    await Promise.all(Array.from({ length: 8 }, (_, number) => client(number)));
    await replaced;
    keeping.destroy();
    return { requests: sent, errors, servers: answered.size, ends: await Promise.all(ends) };
  } finally {
    keeping.destroy();
    current.child.kill('SIGKILL');
  }
}

interface Instance {
  readonly child: ChildProcess;
  /** The status or signal with which it ends. */
  readonly ended: Promise<number | string | null>;
}

async function startInstance({ command, environment }: Runtime, address: string, kind: string, cwd: string): Promise<Instance> {
  const [file = '', ...before] = command;
  const env = { PATH: '/nowhere', ...environment };
  const child = spawn(file, [...before, 'instance.mjs', address, kind], { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit').then(([code, signal]) => (signal ?? code) as number | string | null);
  const early = await Promise.race([once(child.stdout, 'data').then(() => undefined), ended]);
  if (early !== undefined) throw new Error(`The server ended with ${early}.`);
  return { child, ended };
}

async function askHttp(socketPath: string, agent: http.Agent | false): Promise<string> {
  const [response] = (await once(http.get({ socketPath, agent }), 'response')) as [http.IncomingMessage];
  return await textOf(response);
}

async function askNet(path: string): Promise<string> {
  return await textOf(net.connect(path));
}

async function textOf(readable: AsyncIterable<Buffer | string>): Promise<string> {
  let text = '';
  for await (const chunk of readable) text += String(chunk);
  return text;
}
