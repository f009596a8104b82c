import { publishedAs } from '../address/names.js';
import { SocketAddressError } from '../errors/socketAddressError.js';
import { Descriptor } from '../kernel/descriptor.js';
import { isBun, isDeno } from '../kernel/runtimeName.js';
import type { Request } from '../request/readRequest.js';
import { nobody } from '../server/acceptor.js';
import { wrapClose } from '../server/serverAcceptor.js';
import type { Hold } from '../server/hold.js';
import { sayReady } from '../server/inherit.js';
import { acquireHoldNow } from '../server/acquireHold.js';
import { PrivateName } from '../server/privateName.js';
import { readPath } from './readPath.js';
import { asNodeError } from './nodeError.js';

type Listen = (this: unknown, ...args: unknown[]) => object;

/** A function of the runtime's own that makes a server, by its name. */
type Runtime = Record<string, Listen>;

/**
 * Makes the servers of the runtime's own functions claim their paths. On Bun, node:net and
 * node:http call these functions too.
 */
export function installOnOthers(): void {
  const { Bun: bun, Deno: deno } = globalThis as unknown as { readonly Bun: Runtime; readonly Deno: Runtime };
  if (isBun) {
    replace(bun, 'listen', 'unix', claimForListener);
    replace(bun, 'serve', 'unix', serveOnBun);
  }
  if (isDeno) {
    replace(deno, 'listen', 'path', (request, options, listen) =>
      claimByName(request, (name) => nameOnDeno(listen({ ...options, path: name }), request), 'close'),
    );
    replace(deno, 'serve', 'path', serveOnDeno);
  }
}

type Options = Readonly<Record<string, unknown>>;

type Claiming = (request: Request, options: Options, listen: Listen, args: unknown[]) => object;

/** Replaces a function whose options name a path. */
function replace(runtime: Runtime, name: string, pathOption: string, claiming: Claiming): void {
  const original = runtime[name];
  if (original === undefined) return;
  const listen = function (this: unknown, ...args: unknown[]): object {
    const options = args.find((each) => isOptions(each) && pathOption in each) as Options | undefined;
    const path = options?.[pathOption];
    const request = typeof path === 'string' && isUnclaimed(path) ? readPath(path, undefined, {}) : undefined;
    if (options === undefined || request === undefined) return original.apply(runtime, args);
    try {
      return claiming(request, options, (...others) => original.apply(runtime, others), args);
    } catch (error) {
      throw error instanceof SocketAddressError ? keepMessage(asNodeError(error, String(path), listen)) : error;
    }
  };
  runtime[name] = Object.defineProperty(listen, 'name', { value: name });
}

function isOptions(value: unknown): value is Options {
  return typeof value === 'object' && value !== null;
}

/** Not an abstract name, which the kernel excludes, and not a private name of `listen`. */
function isUnclaimed(path: string): boolean {
  return !/^(\0|\/proc\/self\/fd\/)/.test(path) && publishedAs(path) === path;
}

/** Bun's node:net gives the error a message of its own, without the holder of the address. */
function keepMessage(error: SocketAddressError): SocketAddressError {
  const { message } = error;
  return Object.defineProperty(error, 'message', { get: () => message, set() {}, configurable: true });
}

/** `Bun.listen` takes a descriptor, and closes it in `stop`. */
function claimForListener(request: Request, { unix, ...options }: Options, listen: Listen): object {
  const hold = acquireHoldNow(request, nobody);
  try {
    const listener = listen({ ...options, fd: hold.listenFd });
    Object.defineProperty(listener, 'unix', { value: unix, configurable: true });
    wrapClose(listener, Descriptor.at(hold.listenFd), (closeHandle) => hold.release(closeHandle));
    if (hold.inherited) sayReady();
    return listener;
  } catch (error) {
    hold.release();
    throw error;
  }
}

/**
 * Claims the path, has the runtime bind a private name, and gives its socket the name of the path.
 *
 * @param stopName the method by which the program stops the server
 * @param ended called when the claim ends
 */
function claimByName(request: Request, bind: (name: string) => object, stopName: string, ended?: () => void): object {
  const hold = acquireHoldNow({ ...request, terms: { ...request.terms, listens: false } }, nobody);
  let named: PrivateName | undefined;
  let server: object | undefined;
  try {
    named = new PrivateName(hold);
    server = bind(named.path);
    named.publish();
  } catch (error) {
    if (server !== undefined) (server as Record<string, () => unknown>)[stopName]?.();
    ended?.();
    hold.release();
    named?.close();
    throw error;
  }
  endWith(server, stopName, hold, named, ended);
  return server;
}

/** Releases the claim when the program stops the server. */
function endWith(server: object, stopName: string, hold: Hold, named: PrivateName, ended?: () => void): void {
  const stop = (server as Record<string, Listen>)[stopName];
  const stopClaimed = (...args: unknown[]): unknown => {
    const stopped: unknown[] = [];
    ended?.();
    hold.release(() => {
      stopped.push(stop?.apply(server, args));
      hold.closeSocket();
    });
    // Deno unlinks the private name when the server has ended.
    void Promise.resolve(stopped[0]).finally(() => named.close());
    return stopped[0];
  };
  Object.defineProperty(server, stopName, { value: stopClaimed, configurable: true, writable: true });
}

/**
 * The private names of the servers of `bun --hot`, by address. That runs the program again in the
 * same process, and then has `Bun.serve` exchange the handlers of the server with this name.
 */
const hotNames = new Map<string, string>();

function serveOnBun(request: Request, options: Options, listen: Listen): object {
  const before = hotNames.get(request.text);
  if (before !== undefined) return listen({ ...options, unix: before });
  const bind = (name: string): object => {
    if (process.execArgv.includes('--hot')) hotNames.set(request.text, name);
    return finishOnBun(listen({ ...options, unix: name }), request);
  };
  return claimByName(request, bind, 'stop', () => hotNames.delete(request.text));
}

function finishOnBun(server: object, { text }: Request): object {
  Object.defineProperty(server, 'address', { value: text, configurable: true });
  Object.defineProperty(server, 'url', { value: new URL(`unix://${text}`), configurable: true });
  return server;
}

function nameOnDeno(server: object, { text }: Request): object {
  Object.defineProperty(server, 'addr', { value: { transport: 'unix', path: text }, configurable: true });
  return server;
}

/** The handler is an argument of its own, or one of the options. */
function serveOnDeno(request: Request, options: Options, listen: Listen, args: unknown[]): object {
  const { onListen } = options as { readonly onListen?: (address: object) => void };
  const address = { transport: 'unix', path: request.text };
  const tell = onListen ?? (() => console.log(`Listening on ${request.text}`));
  const made = claimByName(
    request,
    (name) => {
      const replaced = { ...options, path: name, onListen: () => tell(address) };
      return nameOnDeno(listen(...args.map((each) => (each === options ? replaced : each))), request);
    },
    'shutdown',
  );
  const server = made as { shutdown(): Promise<void>; readonly finished: Promise<void> };
  // A signal ends it, too.
  const end = (): void => void server.shutdown();
  server.finished.then(end, end);
  return made;
}
