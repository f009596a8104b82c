import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { certificate } from '../support/certificate.js';

/** A kind of server that greets every client, and its client. */
export interface Kind {
  readonly create: (greeting: string) => net.Server;
  /**
   * Makes one request to the pathname (or, in Node's spelling, the abstract name), and gives the
   * answer.
   */
  readonly request: (nodePath: string) => Promise<string>;
}

const trusting = { ca: certificate.cert, servername: 'localhost' } as const;

async function textOf(readable: AsyncIterable<Buffer | string>): Promise<string> {
  let text = '';
  for await (const chunk of readable) text += String(chunk);
  return text;
}

async function bodyOf(request: http.ClientRequest): Promise<string> {
  const [response] = (await once(request.end(), 'response')) as [http.IncomingMessage];
  return await textOf(response);
}

async function bodyOverHttp2(session: http2.ClientHttp2Session): Promise<string> {
  const text = await textOf(session.request({ ':path': '/' }));
  session.close();
  return text;
}

/** Every kind of server that Node has over a stream socket. */
export const kinds: Readonly<Record<string, Kind>> = {
  net: {
    create: (greeting) => net.createServer((connection) => connection.end(greeting)),
    request: (path) => textOf(net.connect(path)),
  },
  tls: {
    create: (greeting) => tls.createServer(certificate, (connection) => connection.end(greeting)),
    request: (path) => textOf(tls.connect({ path, ...trusting })),
  },
  http: {
    create: (greeting) => http.createServer((_, response) => response.end(greeting)),
    request: (socketPath) => bodyOf(http.request({ socketPath, agent: false })),
  },
  https: {
    create: (greeting) => https.createServer(certificate, (_, response) => response.end(greeting)),
    request: (socketPath) => bodyOf(https.request({ socketPath, agent: false, ...trusting })),
  },
  http2: {
    create: (greeting) => http2.createServer((_, response) => response.end(greeting)),
    request: (path) => bodyOverHttp2(http2.connect('http://localhost', { createConnection: () => net.connect(path) })),
  },
  'http2, secure': {
    create: (greeting) => http2.createSecureServer(certificate, (_, response) => response.end(greeting)),
    request: (path) =>
      bodyOverHttp2(
        http2.connect('https://localhost', { createConnection: () => tls.connect({ path, ALPNProtocols: ['h2'], ...trusting }) }),
      ),
  },
};
