import fs from 'node:fs';
import { isDeniedByDeno } from './runtime.js';

/** The processors that the package has a file for. */
const targets: readonly string[] = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64'];
export const target = `${process.platform}-${process.arch}`;

/** An error of loading a file. `path`: that file. */
interface LoadError {
  readonly code?: unknown;
  readonly path?: string;
}

/**
 * Explains why a file could not be loaded: the one that the error names, or else `path`. `missing`
 * is the sentence for a file that does not exist.
 */
export function explained(cause: unknown, path: string, missing: string): Error {
  const file = (cause as LoadError | undefined)?.path ?? path;
  const message = messageOf(cause);
  if (isDisabled(cause))
    return failure(
      'permission' in process
        ? "Node's permission model forbids addons. Start Node with --allow-addons, too."
        : 'Node was started with --no-addons. Start it without that option, in NODE_OPTIONS, too.',
      cause,
    );
  if (isDeniedByDeno(cause)) return failure(`Deno does not permit it: ${message}.`, cause);
  if (isFailure(cause)) return cause;
  if (isNoexec(cause))
    return failure(
      `the file system of ${file} is mounted noexec. Move the program, or set REUSEADDR_ADDON to the absolute path of a copy elsewhere.`,
      cause,
    );
  // The message of glibc for a file for another processor.
  if (isTelling(cause) && message.endsWith('No such file or directory'))
    return failure(`${file} is there, but it is not for this processor.`, cause);
  if (isTelling(cause)) return failure(`${message}.`, cause);
  if (!targets.includes(target))
    return failure(
      `there is none for this platform, only for ${targets.join(', ')}. Build it: run \`npm run build\` in a checkout of reuseaddr, ` +
        'which needs a C compiler (cc, or the one in $CC), and set REUSEADDR_ADDON to the absolute path of the file.',
      cause,
    );
  return failure(missing, cause);
}

/** Whether an error tells more than that a file is missing. */
export function isTelling(error: unknown): boolean {
  if (isDisabled(error) || isDeniedByDeno(error) || isFailure(error) || isNoexec(error)) return true;
  const { code, path } = (error ?? {}) as LoadError;
  // An error of `require` has no path, and is about a file that `require` has found.
  return typeof code === 'string' && code.startsWith('ERR_DLOPEN_') && (path === undefined || fs.existsSync(path));
}

/** Whether Node was told to load no addons at all. */
export function isDisabled(error: unknown): boolean {
  return (error as LoadError | undefined)?.code === 'ERR_DLOPEN_DISABLED';
}

/** node-loader of webpack throws an error of its own that has only the text. */
function isNoexec(error: unknown): boolean {
  return error instanceof Error && /failed to map segment|shared object.*Operation not permitted/.test(error.message);
}

/** The first line of what was thrown, without its full stop. */
export function messageOf(cause: unknown): string {
  const message = cause instanceof Error ? (cause.message.split('\n', 1)[0] ?? '') : String(cause);
  return message.replace(/\.$/, '');
}

function isFailure(error: unknown): error is Error {
  return (error as LoadError | undefined)?.code === 'ERR_REUSEADDR_ADDON';
}

/** Returns the error for an addon that cannot be used, and why. */
export function failure(why: string, cause?: unknown): Error {
  const error = new Error(`Cannot load reuseaddr's native addon for ${target}: ${why}`, { cause });
  return Object.assign(error, { code: 'ERR_REUSEADDR_ADDON' });
}
