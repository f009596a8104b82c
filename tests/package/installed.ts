import { execFile, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { certificate } from '../support/certificate.js';

/** The repository's root folder. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));

/** The programs next to the tests, as they are in the source. */
export const fixtures = join(root, 'tests/package/fixtures');

/**
 * The folder of a user who has installed the packed file, and nothing else. Remove it at the end.
 */
export function installPacked(): string {
  const folder = fs.mkdtempSync(join(fs.realpathSync(os.tmpdir()), 'ra-'));
  fs.writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
  const tarball = join(folder, pack(folder));
  const options = ['--offline', '--ignore-scripts', '--no-audit', '--no-fund', '--silent'];
  execFileSync('npm', ['install', ...options, tarball], { cwd: folder });
  for (const fixture of fs.readdirSync(fixtures)) fs.copyFileSync(join(fixtures, fixture), join(folder, fixture));
  fs.writeFileSync(join(folder, 'certificate.json'), JSON.stringify(certificate));
  return folder;
}

/** Packs what has been built, into a folder. Returns the name of the file. */
export function pack(destination: string): string {
  const args = [join(root, 'scripts/pack.mjs'), '--built', '--destination', destination];
  return execFileSync(process.execPath, args, { cwd: destination, encoding: 'utf8', stdio: 'pipe' }).trim();
}

/** Something that runs JavaScript: a command, and its arguments before the program. */
export interface Runtime {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** The output of a program on stdout and stderr; also that of a failure. */
export async function run(
  { command: [file = '', ...before], environment }: Runtime,
  args: readonly string[],
  cwd: string,
): Promise<string> {
  // No PATH has a compiler in it here.
  const env = { PATH: '/nowhere', TOUR_RUNTIME: JSON.stringify([file, ...before]), ...environment };
  const ended = promisify(execFile)(file, [...before, ...args], { cwd, env, encoding: 'utf8', timeout: 1_200_000 });
  return await ended.then(
    ({ stdout, stderr }) => stdout + stderr,
    (error: unknown) => {
      const { stdout, stderr, code } = error as { stdout: string; stderr: string; code?: unknown };
      return `${stdout}${stderr}status ${String(code)}\n`;
    },
  );
}

/** The output of `tour.mjs` where everything works. */
export const tour = [
  'listen: true listening true 640 9',
  'answer: hello',
  'second: EADDRINUSE held',
  'released: free false',
  'killed: SIGKILL stale',
  'again: hello',
  'exited: 0 free',
  'quit: 0 free',
  'unreferenced: 0 free',
  'thrown: 1 free',
  'worker: hello hello',
  'waited: hello',
  'handover: hello hello',
  'rule: hello nothing 0 true hello nothing 0',
  'events: listening,close,false,true,false listening,close,false,true,false',
  'rebind: hello',
  'abstract: hello',
  'long: hello',
  'cluster: hello',
  'claim: true listening',
  'files: app.sock.lock',
  'end',
];

/** Every kind of server of the tour. */
export const kinds = ['net', 'http', 'https', 'tls', 'http2'] as const;

export type Kind = (typeof kinds)[number];

/** Takes the tour in the folder of a user. */
export async function takeTour(runtime: Runtime, kind: Kind, folder: string): Promise<readonly string[]> {
  const sockets = fs.mkdtempSync(join(folder, 's'));
  return (await run(runtime, ['tour.mjs', sockets, kind], folder)).trimEnd().split('\n');
}
