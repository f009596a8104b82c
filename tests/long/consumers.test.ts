/**
 * docs/frameworks.md: test runners and compilers that load the installed package, each as its users
 * have it.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { installPacked, root } from '../package/installed.js';
import { installPackages } from '../runtimes/install.js';
import { onLinux } from '../support/privileges.js';

let user = '';
let modules = '';
before(async () => {
  user = installPacked();
  modules = join(await installPackages('package/consumers'), 'node_modules');
  const types = join(user, 'node_modules/@types');
  fs.mkdirSync(types);
  fs.cpSync(join(modules, 'types-node-oldest'), join(types, 'node'), { recursive: true });
  fs.symlinkSync(join(modules, '@types/jest'), join(types, 'jest'));
  const nested = join(modules, 'types-node-oldest/node_modules/undici-types');
  fs.symlinkSync(fs.existsSync(nested) ? nested : join(modules, 'undici-types'), join(user, 'node_modules/undici-types'));
  for (const name of ['jest-29', 'jest-30', 'babel-jest', 'ts-jest', 'typescript', 'types-node-oldest'])
    console.log(`  ${name}: ${versionOf(name)}`);
});
after(() => fs.rmSync(user, { recursive: true, force: true }));

function versionOf(name: string): string {
  return (JSON.parse(fs.readFileSync(join(modules, name, 'package.json'), 'utf8')) as { readonly version: string }).version;
}

const required = `const { createServer } = require('node:net');
const { connect, listen, SocketAddressError } = require('reuseaddr');`;
const imported = `import { createServer } from 'node:net';
import { connect, listen, SocketAddressError } from 'reuseaddr';`;
const body = `
test('a server listens, and a second one is refused', async () => {
  const address = __dirname + '/socket';
  const held = await listen(createServer((socket) => socket.end('hello')), address);
  await expect(listen(createServer(), address)).rejects.toThrow(SocketAddressError);
  let answer = '';
  for await (const text of await connect(address)) answer += String(text);
  expect(answer).toBe('hello');
  await held.release();
});
`;
const compilerOptions = {
  module: 'commonjs',
  moduleResolution: 'node10',
  target: 'es2022',
  strict: true,
  types: ['node', 'jest'],
};

/** How a test file reaches the package, with the part of Jest's configuration that differs. */
const kinds = {
  'in its default mode': { file: 'a.test.js', text: required, transform: () => ({}) },
  'with babel-jest': {
    file: 'a.test.js',
    text: imported,
    transform: () => {
      const presets = [[join(modules, '@babel/preset-env'), { targets: { node: 'current' } }]];
      return { '\\.js$': [join(modules, 'babel-jest'), { presets }] };
    },
  },
  'with ts-jest, as Nest has it': {
    file: 'a.test.ts',
    text: imported,
    transform: () => {
      const tsconfig = { ...compilerOptions, esModuleInterop: true, ignoreDeprecations: '6.0' };
      return { '^.+\\.(t|j)s$': [join(modules, 'ts-jest'), { tsconfig }] };
    },
  },
};

/**
 * The package is resolved by Jest, so both versions load it. The transforms are the same for both.
 */
const ways: Readonly<Record<string, readonly (keyof typeof kinds)[]>> = {
  'jest-29': ['in its default mode'],
  'jest-30': ['in its default mode', 'with babel-jest', 'with ts-jest, as Nest has it'],
};

for (const [jest, chosen] of Object.entries(ways)) {
  for (const kind of chosen) {
    const { file, text, transform } = kinds[kind];
    test(`${jest} ${kind} → the package is loaded, and a server listens`, onLinux, () => {
      const folder = fs.mkdtempSync(join(user, 'jest-'));
      fs.writeFileSync(join(folder, 'package.json'), '{}');
      fs.writeFileSync(join(folder, file), text + body);
      const configuration = { testEnvironment: 'node', moduleFileExtensions: ['js', 'json', 'ts'], transform: transform() };
      fs.writeFileSync(join(folder, 'jest.config.json'), JSON.stringify(configuration));
      const { status, stderr } = spawnSync(process.execPath, [join(modules, jest, 'bin/jest.js')], {
        cwd: folder,
        encoding: 'utf8',
      });
      assert.equal(status, 0, stderr);
      assert.match(stderr, /Tests: +1 passed, 1 total/);
    });
  }
}

const program = `import { createServer } from 'node:net';
import { listen, type Claim, type ListenOptions } from 'reuseaddr';
import 'reuseaddr/register';
const options: ListenOptions = { mode: 0o660, wait: 100 };
export async function start(): Promise<Claim> {
  const held: Claim = await listen(createServer(), '/nowhere/app.sock', options);
  held.on('displaced', (what) => what.length);
  // @ts-expect-error An option that there is not.
  await listen(createServer(), held.address, { modes: 1 });
  return held;
}
`;

/** The oldest, the last with `node10`, and the newest. In 5.4 `nodenext` is `node16`. */
for (const [compiler, resolutions] of Object.entries({
  'typescript-5.4': ['node10', 'node16', 'bundler'],
  'typescript-6': ['node10'],
  typescript: ['node16', 'node20', 'nodenext', 'bundler'],
})) {
  test(`${compiler} with ${resolutions.join(', ')} → the types are found and right, and every declaration is checked`, () => {
    // TypeScript 7 is the repository's own; ts-jest has brought another.
    const home = compiler === 'typescript' ? join(root, 'node_modules/typescript') : join(modules, compiler);
    const folder = fs.mkdtempSync(join(user, 'types-'));
    fs.writeFileSync(join(folder, 'package.json'), '{}');
    for (const resolution of resolutions) {
      const module = { node10: 'commonjs', bundler: 'esnext' }[resolution] ?? resolution;
      const files = module === resolution ? ['user.cts', 'user.mts'] : ['user.ts'];
      for (const file of files) fs.writeFileSync(join(folder, file), program);
      const args = ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022', '--types', 'node', '--module', module];
      if (resolution !== 'node20') args.push('--moduleResolution', resolution);
      if (compiler === 'typescript-6') args.push('--ignoreDeprecations', '6.0');
      const { status, stdout } = spawnSync(process.execPath, [join(home, 'bin/tsc'), ...args, ...files], {
        cwd: folder,
        encoding: 'utf8',
      });
      assert.equal(status, 0, `${resolution}: ${stdout}`);
    }
    console.log(
      `  ${compiler}: ${execFileSync(process.execPath, [join(home, 'bin/tsc'), '--version'], { encoding: 'utf8' }).trim()}`,
    );
  });
}
