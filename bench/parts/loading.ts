/**
 * The processor time of whole processes that end as soon as they can: a start, a program that needs
 * nothing of the package, and the command line. Their instructions in user mode too, where the
 * machine counts them.
 */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { cleanEnvironment, floor, nodes, places, root, withDirectory } from '../environment.js';
import { choose, type Measurement, type Run } from '../measure.js';

const bundle = join(root, 'dist/bundle');

/** Programs that are compared, with their arguments. */
type Programs = Readonly<Record<string, readonly string[]>>;

export async function measureLoading(run: Run): Promise<Measurement[]> {
  return await withDirectory(places.tmpfs, (directory) => {
    const measured: Measurement[] = [];
    for (const [version, node] of nodes()) {
      run.say(`loading, ${version}`);
      for (const [group, programs] of Object.entries(groupsIn(directory)))
        measured.push(...measureGroup(`${group}, ${version}`, node, programs, directory, choose(run, 40, 6, 1)));
    }
    return Promise.resolve(measured);
  });
}

function groupsIn(directory: string): Readonly<Record<string, Programs>> {
  const file = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
  const socket = join(directory, 'app.sock');
  const nothing = file('nothing.cjs', '');
  const emptyPackage = file('package.cjs', '');
  const emptyModule = file('package.mjs', `import './package.cjs';\n`);
  const end = '() => process.exit()';
  const plain = file('plain.cjs', `require('node:net').createServer().listen(${JSON.stringify(socket)}, ${end});`);
  const tcp = file('tcp.cjs', `require('node:http').createServer().listen(0, '127.0.0.1', ${end});`);
  const library = JSON.stringify(createRequire(import.meta.url).resolve('reuseaddr'));
  const ours = file(
    'listen.cjs',
    `const server = require('node:net').createServer(); require(${library}).listen(server, ${JSON.stringify(socket)}).then(${end});`,
  );
  const [required, imported, command] = ['register.cjs', 'register.mjs', 'cli.cjs'].map((name) => join(bundle, name)) as [
    string,
    string,
    string,
  ];
  return {
    'start on a path': { plain: [plain], reuseaddr: [ours], preload: ['--require', required, plain] },
    'no path, --require': { 'an empty file': ['--require', emptyPackage, nothing], preload: ['--require', required, nothing] },
    'no path, --import': { 'an empty file': ['--import', emptyModule, nothing], preload: ['--import', imported, nothing] },
    'http over TCP': { plain: [tcp], preload: ['--require', required, tcp] },
    'command line': {
      'an empty script': [nothing],
      inspect: [command, 'inspect', socket],
      'run --help': [command, 'run', '--help'],
    },
  };
}

function measureGroup(group: string, node: string, programs: Programs, directory: string, rounds: number): Measurement[] {
  const spent = new Map(Object.keys(programs).map((name) => [name, { times: [] as number[], instructions: [] as number[] }]));
  const inTurn = Object.entries(programs);
  for (let round = -1; round < rounds; round++) {
    const first = (round + 1) % inTurn.length;
    for (const [name, args] of [...inTurn.slice(first), ...inTurn.slice(0, first)]) {
      rmSync(join(directory, 'app.sock'), { force: true });
      const output = execFileSync(floor, ['spent', node, ...args], { encoding: 'utf8', env: cleanEnvironment });
      const [microseconds = 0, instructions = 0] = output.split(' ').map(Number);
      if (round < 0) continue;
      spent.get(name)?.times.push(microseconds / 1000);
      spent.get(name)?.instructions.push(instructions / 1e6);
    }
  }
  const about = { part: 'loading', better: 'lower' } as const;
  return [...spent].flatMap(([subject, { times, instructions }]) => [
    { ...about, group, subject, unit: 'ms', values: times },
    ...(instructions.includes(0)
      ? []
      : [{ ...about, group: `${group}, instructions`, subject, unit: 'million', values: instructions }]),
  ]);
}
