import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { bind, claim, connect, inspect, listen, peerCredentials, SocketAddressError, type Claim } from 'reuseaddr';
import { leftOpen, openDescriptors, temporaryDirectory } from '../support/directory.js';
import { onLinux } from '../support/privileges.js';

/** The public functions, without their types: what programs in JavaScript call. */
const untyped = { bind, claim, connect, inspect, listen, peerCredentials } as unknown as Record<
  'bind' | 'claim' | 'connect' | 'inspect' | 'listen' | 'peerCredentials',
  (...args: readonly unknown[]) => unknown
>;

type Call = readonly [name: string, call: () => unknown, code: string, message: RegExp];

const path = './app.sock';
const server = (): http.Server => http.createServer();
const listenTo = (application: unknown): unknown => untyped.listen(application, path);

const socket = (): Socket => createSocket('udp4');

/** An Express or Connect application: a function that has the methods of a server. */
function express(): () => void {
  return Object.assign(() => undefined, { listen: () => server().listen(), close() {}, once() {}, handle() {} });
}

const servers: readonly Call[] = [
  [
    'no server',
    () => untyped.listen(),
    'ERR_INVALID_ARG_TYPE',
    /first argument must be a server .* this is undefined\. Pass what/,
  ],
  ['null for a server', () => listenTo(null), 'ERR_INVALID_ARG_TYPE', /this is null/],
  [
    'an empty object for a server',
    () => listenTo({}),
    'ERR_INVALID_ARG_TYPE',
    /this is an object\. Pass what createServer\(\) gives/,
  ],
  ['the path alone', () => untyped.listen(path), 'ERR_INVALID_ARG_TYPE', /this is a string\. Write listen\(server, address\)/],
  ['a port', () => untyped.listen(3000), 'ERR_INVALID_ARG_TYPE', /this is a number/],
  [
    'an Express application',
    () => listenTo(express()),
    'ERR_INVALID_ARG_TYPE',
    /this is a function\. Write listen\(createServer\(app\), …\)/,
  ],
  ['a request listener', () => listenTo(() => undefined), 'ERR_INVALID_ARG_TYPE', /Write listen\(createServer\(app\), …\)/],
  [
    'a Fastify application',
    () => listenTo({ server: server(), listen() {}, close() {}, ready() {} }),
    'ERR_INVALID_ARG_TYPE',
    /Write listen\(app\.server, …\), after await app\.ready\(\)/,
  ],
  [
    'a Koa application',
    () => listenTo({ callback() {}, listen() {}, use() {} }),
    'ERR_INVALID_ARG_TYPE',
    /createServer\(app\.callback\(\)\)/,
  ],
  ['a Hono application', () => listenTo({ fetch() {}, request() {} }), 'ERR_INVALID_ARG_TYPE', /createAdaptorServer\(app\)/],
  ['a Nest application', () => listenTo({ getHttpServer() {}, listen() {} }), 'ERR_INVALID_ARG_TYPE', /app\.getHttpServer\(\)/],
  [
    'a Next application',
    () => listenTo({ getRequestHandler() {}, prepare() {} }),
    'ERR_INVALID_ARG_TYPE',
    /app\.getRequestHandler\(\)/,
  ],
  [
    'a Socket.IO server',
    () => listenTo({ httpServer: server(), listen() {}, close() {} }),
    'ERR_INVALID_ARG_TYPE',
    /io\.httpServer/,
  ],
  [
    'the promise of a server',
    () => listenTo(Promise.resolve(server())),
    'ERR_INVALID_ARG_TYPE',
    /this is a Promise\. Await it first/,
  ],
  ['a connection for a server', () => listenTo(new net.Socket()), 'ERR_INVALID_ARG_TYPE', /this is a Socket/],
  [
    'a class whose getters throw',
    () => listenTo(Object.defineProperty({}, 'server', { get: () => assert.fail() })),
    'ERR_INVALID_ARG_TYPE',
    /this is an object/,
  ],
];

const sockets: readonly Call[] = [
  [
    'no socket',
    () => untyped.bind(),
    'ERR_INVALID_ARG_TYPE',
    /first argument must be a socket of node:dgram, and this is undefined\. Pass the result of createSocket/,
  ],
  ['null for a socket', () => untyped.bind(null, path), 'ERR_INVALID_ARG_TYPE', /this is null/],
  [
    'the path alone',
    () => untyped.bind(path),
    'ERR_INVALID_ARG_TYPE',
    /this is a string\. .* claim\(address, \{ type: 'datagram' \}\)/,
  ],
  ['a server for a socket', () => untyped.bind(server(), path), 'ERR_INVALID_ARG_TYPE', /write listen\(server, address\)/i],
  ['a connection for a socket', () => untyped.bind(new net.Socket(), path), 'ERR_INVALID_ARG_TYPE', /this is a Socket/],
];

type Start = (address: unknown, options?: unknown, callback?: unknown) => unknown;

/**
 * The functions that take an address and options, and the words with which their messages begin.
 */
const withAddress: readonly (readonly [name: string, start: Start])[] = [
  ['claim', (...args) => untyped.claim(...args)],
  ['listen', (...args) => untyped.listen(server(), ...args)],
  ['bind', (...args) => untyped.bind(socket(), ...args)],
  ['inspect', (...args) => untyped.inspect(...args)],
  ['connect', (...args) => untyped.connect(...args)],
];

const addresses: readonly (readonly [name: string, address: unknown, code: string, message: RegExp])[] = [
  ['no address', undefined, 'ERR_INVALID_ARG_TYPE', /the address must be a string, and this is undefined/],
  ['null for an address', null, 'ERR_INVALID_ARG_TYPE', /this is null/],
  ['a port for an address', 3000, 'ERR_INVALID_ARG_TYPE', /this is a number\. Pass a path; for a TCP port/],
  ['net.listen’s options for an address', { path }, 'ERR_INVALID_ARG_TYPE', /this is an object\. Pass the path itself/],
  [
    'a URL for an address',
    new URL('file:///run/app.sock'),
    'ERR_INVALID_ARG_TYPE',
    /this is an? URL\. Pass fileURLToPath\(url\)/,
  ],
  ['a Buffer for an address', Buffer.from(path), 'ERR_INVALID_ARG_TYPE', /this is a Buffer/],
  ['an address that throws as a text', Object.create(null), 'ERR_INVALID_ARG_TYPE', /this is an object/],
  ['unix: before a path', 'unix:/run/app.sock', 'EINVAL', /it is a URL, and an address is a path\. Write \/run\/app\.sock\.$/],
  ['unix:// before a path', 'unix:///run/app.sock', 'EINVAL', /Write \/run\/app\.sock\.$/],
  ['http+unix:// before a path', 'http+unix://run%2Fapp.sock', 'EINVAL', /it is a URL/],
  ['file:// before a path', 'file:///run/app.sock', 'EINVAL', /Write \/run\/app\.sock\.$/],
  ['a TCP address', 'tcp://127.0.0.1:80', 'EINVAL', /it is a URL/],
  [
    'a home directory',
    '~/app.sock',
    'EINVAL',
    /~ is a shell's word .* os\.homedir\(\), or write \.\/~\/app\.sock for a file of that name/,
  ],
  ['another user’s home directory', '~www-data/app.sock', 'EINVAL', /~ is a shell's word/],
  ['a variable', '$XDG_RUNTIME_DIR/app.sock', 'EINVAL', /variable, which only a shell replaces/],
  ['a variable in braces', '${XDG_RUNTIME_DIR}/app.sock', 'EINVAL', /variable/],
  [
    'a port as text',
    '3000',
    'EINVAL',
    /it is a number, as of a TCP port\. Call server\.listen\(3000\) for a port, or write \.\/3000/,
  ],
  [
    'a host and a port',
    'localhost:3000',
    'EINVAL',
    /it is a host and a TCP port\. Pass a path, or write \.\/localhost:3000 for a file of that name/,
  ],
  ['an IPv6 address and a port', '[::1]:3000', 'EINVAL', /it is a host and a TCP port/],
  ['a port after a colon', ':3000', 'EINVAL', /it is a host and a TCP port/],
  ['the home directory itself', '~', 'EINVAL', /~ is a shell's word/],
  ['a variable that is the whole address', '$SOCKET', 'EINVAL', /variable, which only a shell replaces/],
  ['a variable in braces before a word', '${NAME}.sock', 'EINVAL', /variable, which only a shell replaces/],
];

const optionsOfAll: readonly (readonly [name: string, options: unknown, code: string, message: RegExp])[] = [
  [
    'a callback',
    () => undefined,
    'ERR_INVALID_ARG_TYPE',
    /options must be an object, and this is a function\. Leave the callback out/,
  ],
  ['null options', null, 'ERR_INVALID_ARG_TYPE', /this is null\. Leave them out/],
  ['a mode for options', 0o660, 'ERR_INVALID_ARG_TYPE', /this is a number/],
  ['a list for options', [], 'ERR_INVALID_ARG_TYPE', /this is an array/],
  ['text for options', 'wait', 'ERR_INVALID_ARG_TYPE', /this is a string/],
  [
    'a signal for options',
    new AbortController().signal,
    'ERR_INVALID_ARG_TYPE',
    /options must be an object, and this is an AbortSignal\. Write \{ signal \}\.$/,
  ],
  ['the promise of options', Promise.resolve({}), 'ERR_INVALID_ARG_TYPE', /this is a Promise\. Leave them out/],
  ['a map for options', new Map([['mode', 0o660]]), 'ERR_INVALID_ARG_TYPE', /this is a Map/],
  ['an unknown option', { colour: 'red' }, 'EINVAL', /there is no option "colour", only /],
];

const callback: readonly [code: string, message: RegExp] = ['ERR_INVALID_ARG_TYPE', /Leave the callback out/];

const optionsOfStarts: readonly (readonly [options: object, message: RegExp])[] = [
  [{ mode: 660 }, /the option mode must be an integer from 0 to 0o777, and this is 660\. Write 0o660\.$/],
  [{ mode: '0660' }, /this is the string "0660"\. Write 0o660\.$/],
  [{ mode: true }, /and this is a boolean/],
  [{ mode: Object.create(null) }, /must be an integer from 0 to 0o777, and this is an object/],
  [{ owner: {} }, /the option owner must be a name or an id, and this is an object/],
  [{ owner: null }, /owner must be a name or an id, and this is null/],
  [{ owner: 1.5 }, /owner must be an integer/],
  [{ owner: 'no-such-user' }, /there is no user "no-such-user", which the option owner names/],
  [{ group: ['www-data'] }, /group must be a name or an id, and this is an array/],
  [{ group: 'no-such-group' }, /there is no group "no-such-group", which the option group names/],
  [{ backlog: '511' }, /backlog must be an integer .* this is the string "511"/],
  [{ lockPath: 5 }, /lockPath must be a path, and this is a number/],
  [{ lockPath: null }, /lockPath must be a path, and this is null/],
  [{ wait: 'yes' }, /wait must be true, false or a number of milliseconds, and this is the string "yes"/],
  [{ wait: -1 }, /wait must be an integer/],
  [{ wait: null }, /wait must be .* this is null/],
  [{ takeover: 'yes' }, /takeover must be true/],
  [{ takeover: Number.NaN }, /takeover must be an integer .* this is NaN/],
  [{ handover: 1 }, /handover must be true or false, and this is 1/],
  [{ onDisplaced: 'ignore' }, /onDisplaced must be 'report' or 'rebind', and this is the string "ignore"/],
  [{ signal: 1 }, /signal must be an AbortSignal, and this is a number\. Pass the signal of an AbortController/],
  [{ signal: new AbortController() }, /signal must be an AbortSignal, and this is an AbortController/],
  [{ signal: null }, /signal must be an AbortSignal, and this is null/],
  [{ allow: [] }, /allow must be a rule or a function, and this is an array\. Write \{ uid: \['www-data'\] \}/],
  [{ allow: null }, /allow must be a rule or a function, and this is null/],
  [{ allow: 'www-data' }, /allow must be a rule or a function, and this is a string/],
  [{ allow: new Map([['uid', [0]]]) }, /allow must be a rule or a function, and this is a Map/],
  [{ allow: Promise.resolve({ uid: [0] }) }, /allow must be a rule or a function, and this is a Promise/],
  [{ allow: { uid: 'www-data' } }, /allow\.uid must be a list, and this is a string/],
  [{ allow: { uid: [-1] } }, /allow\.uid takes names and ids/],
  [{ allow: { gid: [{}] } }, /allow\.gid takes names and ids/],
  [{ allow: { users: [0] } }, /allow has no "users", only uid and gid/],
  [{ allow: { uid: ['no-such-user'] } }, /there is no user "no-such-user", which the option allow\.uid names/],
];

/** Each is refused in the same way by each function that claims an address. */
const types: readonly (readonly [options: object, message: RegExp])[] = [
  [{ type: 'dgram' }, /type must be 'stream' or 'datagram' or 'seqpacket', and this is "dgram"/],
  [{ type: 'a\nb' }, /and this is "a\\nb"/],
  [{ type: null }, /and this is null/],
  [{ type: {} }, /and this is an object/],
  [{ type: Object.create(null) as object }, /and this is an object/],
  [{ type: Symbol('stream') }, /and this is a symbol/],
];

/** `bind` has no connections. */
const optionsOfBind: readonly (readonly [options: object, message: RegExp])[] = [
  [{ backlog: 5 }, /backlog is for connections, and a datagram socket has none/],
  [{ allow: () => true }, /allow is for servers of stream connections, and this is a datagram socket/],
  [{ type: 'stream' }, /type must be 'datagram' here, and this is 'stream'\. Use claim\(\), or listen\(\) for a server/],
];

const optionsOfConnect: readonly (readonly [options: object, message: RegExp])[] = [
  [{ timeout: '5' }, /timeout must be a number of milliseconds/],
  [{ timeout: null }, /timeout must be a number/],
  [{ timeout: -1 }, /timeout must be a number/],
  [{ timeout: Number.NaN }, /timeout must be a number/],
  [{ signal: 1 }, /signal must be an AbortSignal/],
  [{ allowHalfOpen: 'yes' }, /allowHalfOpen must be true or false/],
  [{ mode: 0o600 }, /there is no option "mode"/],
];

const connections: readonly (readonly [name: string, connection: unknown])[] = [
  ['no connection', undefined],
  ['null for a connection', null],
  ['a descriptor for a connection', 3],
  ['a path for a connection', '/run/app.sock'],
  ['an object for a connection', {}],
  ['a function for a connection', () => undefined],
];

const calls: readonly Call[] = [
  ...servers.map(([name, ...rest]): Call => [`listen, ${name}`, ...rest]),
  ...sockets.map(([name, ...rest]): Call => [`bind, ${name}`, ...rest]),
  ...withAddress.flatMap(([called, start]) => [
    ...addresses.map(([name, address, ...rest]): Call => [`${called}, ${name}`, () => start(address), ...rest]),
    ...optionsOfAll.map(([name, options, ...rest]): Call => [`${called}, ${name}`, () => start(path, options), ...rest]),
  ]),
  ...withAddress.map(([called, start]): Call => {
    return [`${called}, a callback after the options`, () => start(path, {}, () => undefined), ...callback];
  }),
  ...withAddress.flatMap(([called, start]) =>
    optionsOf(called).map(([options, message]): Call => {
      return [`${called}, ${inWords(options)}`, () => start(path, options), 'EINVAL', message];
    }),
  ),
  ...optionsOfConnect.map(([options, message]): Call => {
    return [`connect, ${inWords(options)}`, () => untyped.connect(path, options), 'EINVAL', message];
  }),
  ['inspect, a lock path that is a number', () => untyped.inspect(path, { lockPath: 5 }), 'EINVAL', /lockPath must be a path/],
  ...connections.map(([name, connection]): Call => {
    const message = /the connection must be a net\.Socket, .* Pass the connection, or request\.socket\.$/;
    return [`peerCredentials, ${name}`, () => untyped.peerCredentials(connection), 'ERR_INVALID_ARG_TYPE', message];
  }),
];

function optionsOf(called: string): readonly (readonly [options: object, message: RegExp])[] {
  if (called === 'claim' || called === 'listen') return [...optionsOfStarts, ...types];
  if (called !== 'bind') return [];
  const common = optionsOfStarts.filter(([options]) => !('allow' in options) && !('backlog' in options));
  return [...common, ...types, ...optionsOfBind];
}

function inWords(options: object): string {
  return Object.entries(options)
    .map(([name, value]) => `${name}: ${typeof value === 'number' ? value : (JSON.stringify(value) ?? typeof value)}`)
    .join();
}

test(
  `${calls.length} wrong calls of every public function → each is refused with what was expected and how to write it, before anything is made`,
  onLinux,
  async (t) => {
    assert.ok(calls.length >= 60);
    const directory = temporaryDirectory(t);
    const before = process.cwd();
    process.chdir(directory);
    t.after(() => process.chdir(before));
    const descriptors = openDescriptors();
    for (const [name, call, code, message] of calls) {
      await t.test(`${name} → ${code}`, async () => {
        const error = await Promise.resolve()
          .then(call)
          .then(
            // A claim that should not be keeps the process alive.
            async (made) => await (made as Partial<Claim> | undefined)?.release?.(),
            (thrown: unknown) => thrown,
          );
        assert.ok(error instanceof SocketAddressError, String(error));
        assert.equal(error.code, code, error.message);
        assert.match(error.message, message);
        assert.match(error.message, /^Cannot (listen|connect|inspect|tell)[^\n]*\.$/);
        assert.deepEqual(fs.readdirSync(directory), []);
        assert.deepEqual(leftOpen(directory), []);
        assert.equal(openDescriptors(), descriptors);
      });
    }
  },
);

test('a file whose name is refused as an address → it can be written with ./ before it', async (t) => {
  const directory = temporaryDirectory(t);
  const before = process.cwd();
  process.chdir(directory);
  t.after(() => process.chdir(before));
  fs.mkdirSync('~');
  fs.mkdirSync('unix:');
  for (const name of ['3000', ':3000', '~/app.sock', '$SOCKET', 'unix:/app.sock']) {
    const held = await claim(`./${name}`);
    assert.ok(fs.existsSync(name));
    await held.release();
  }
});

test('options of another realm, without a prototype, or with a class of their own → they are options', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const foreign = runInNewContext('({})') as object;
  const bare = Object.create(null) as object;
  class Options {
    readonly mode = 0o660;
  }
  for (const options of [foreign, bare, new Options()]) await (await claim(address, options)).release();
});

test('a signal of another realm → it ends a wait as one of this realm does', async (t) => {
  const address = `${temporaryDirectory(t)}/app.sock`;
  const held = await claim(address);
  t.after(() => held.release());
  const signal = Object.assign(new EventTarget(), { aborted: false, reason: new Error('not yet') });
  const waiting = claim(address, { wait: true, signal: signal as unknown as AbortSignal });
  signal.aborted = true;
  signal.reason = new Error('enough');
  signal.dispatchEvent(new Event('abort'));
  await assert.rejects(waiting, { message: 'enough' });
  await assert.rejects(claim(address, { wait: true, signal: signal as unknown as AbortSignal }), { message: 'enough' });
});
