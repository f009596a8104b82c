import fs from 'node:fs';
import os from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeniedByDeno, permitted } from './runtime.js';

/**
 * Node's own `module`, in a CommonJS file that runs as it was installed. If a bundler inlines the
 * file, this is another `module` or none.
 */
declare const module: { readonly filename?: unknown } | undefined;
declare const require: (path: string) => unknown;

/** The processors that the package has a file for. */
const targets: readonly string[] = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64'];
const target = `${process.platform}-${process.arch}`;
const fileName = `reuseaddr.${target}.node`;

/**
 * Loads native/ as it was compiled for this platform. It tries, in this order:
 *
 * 1. The file that `REUSEADDR_ADDON` names.
 * 2. In an installed package, the file next to the code.
 * 3. In a bundle, the bundler's result of the calls in `requireAddon`; then the file next to the
 *   bundle; then, in a single executable application, the asset with the file's name.
 *
 * It searches no other directory: a path that leads out of the bundle's own directory could lead to
 * one in which others may create files.
 *
 * @throws Error with the code `ERR_REUSEADDR_ADDON`, and a message that says which of these failed,
 * and what to do.
 */
export function loadAddon(): unknown {
  const named = permitted(() => process.env['REUSEADDR_ADDON'], undefined);
  if (named !== undefined && named !== '') return loadNamed(named);
  const installed = installedDirectory();
  return installed === undefined ? loadBundled() : loadInstalled(installed);
}

function loadNamed(path: string): unknown {
  if (!isAbsolute(path)) throw failure(`REUSEADDR_ADDON is "${path}", which is not an absolute path.`);
  try {
    return open(path);
  } catch (cause) {
    throw explained(cause, path, `${path}, which REUSEADDR_ADDON names, does not exist.`);
  }
}

/** Returns the directory of this code, if it runs in the file that scripts/bundle.mjs made. */
function installedDirectory(): string | undefined {
  // Not every `module` counts: Node has a global one, in the working directory, for code on its
  // command line, and Bun keeps the bare name.
  const file = typeof module === 'object' ? module.filename : undefined;
  return typeof file === 'string' && isAbsolute(file) && basename(file) === 'kernel.cjs' ? dirname(file) : undefined;
}

function loadInstalled(directory: string): unknown {
  const path = join(directory, fileName);
  try {
    return open(path);
  } catch (cause) {
    throw explained(cause, path, `${path} is missing. Install reuseaddr again; in a checkout of it, run \`npm run build\`.`);
  }
}

function loadBundled(): unknown {
  const file = ownFile();
  const directory = file === undefined ? undefined : dirname(file);
  // Node's global `require`, for code on its command line, searches the working directory.
  const searched = [directory, 'require' in globalThis ? process.cwd() : undefined];
  const shared = searched.find((each) => each !== undefined && isShared(each));
  if (shared !== undefined)
    throw failure(
      `it would be looked for in ${shared}, where every user may create files. ` +
        'Move the program to a directory of its own, or set REUSEADDR_ADDON to the absolute path of the addon.',
    );
  const attempts = [() => resolved(requireAddon(), directory), () => open(join(directory ?? '', fileName)), () => openAsset()];
  let reason: unknown;
  for (const attempt of attempts) {
    try {
      return attempt();
    } catch (error) {
      // The first error about a file that exists tells more than those about files that do not.
      if (reason === undefined || isDlopenError(error)) reason ??= error;
    }
  }
  throw explained(
    reason,
    join(directory ?? '', fileName),
    `the program was bundled, and the addon is not with it. Let the bundler ship .node files, or copy ` +
      `node_modules/reuseaddr/dist/bundle/${fileName}${directory === undefined ? '' : ` to ${directory}`}, or set REUSEADDR_ADDON ` +
      'to its absolute path. See docs/frameworks.md.',
  );
}

/**
 * Loads the file by calls that bundlers and tracers recognise. Each path must stand here in full,
 * and in a `try` block, because some files may be missing.
 */
function requireAddon(): unknown {
  try {
    switch (target) {
      case 'linux-x64':
        return require('./reuseaddr.linux-x64.node');
      case 'linux-arm64':
        return require('./reuseaddr.linux-arm64.node');
      case 'darwin-x64':
        return require('./reuseaddr.darwin-x64.node');
      case 'darwin-arm64':
        return require('./reuseaddr.darwin-arm64.node');
    }
    return new Error('There is none for this platform.');
  } catch (error) {
    return error;
  }
}

/**
 * Returns the addon. A bundler may give the addon itself, or the path of the file, relative to the
 * bundle or as a URL.
 */
function resolved(found: unknown, directory: string | undefined): unknown {
  if (found instanceof Error) throw found;
  const value = (found as { readonly default?: unknown }).default ?? found;
  if (typeof value !== 'string') return value;
  if (value.startsWith('file:')) return open(fileURLToPath(value));
  return open(isAbsolute(value) ? value : join(directory ?? '', value));
}

/**
 * Loads the asset of a single executable application. dlopen(3) accepts only a file, so the asset
 * goes through one that only this user can reach.
 */
function openAsset(): unknown {
  const asset = process.getBuiltinModule('node:sea').getRawAsset(fileName);
  const directory = fs.mkdtempSync(join(os.tmpdir(), 'reuseaddr-'));
  try {
    const path = join(directory, fileName);
    fs.writeFileSync(path, new Uint8Array(asset as ArrayBuffer));
    return open(path);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Does the last step of `require`. The step before, resolving the path, takes three times as long
 * as loading the file.
 */
function open(path: string): unknown {
  const loaded: { exports: unknown } = { exports: {} };
  process.dlopen(loaded, path);
  return loaded.exports;
}

/**
 * Returns the file of this code at run time. Bundlers replace `__filename` and `import.meta.url`,
 * some by a path of the build machine.
 */
function ownFile(): string | undefined {
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Error.stackTraceLimit = 1;
    Error.prepareStackTrace = (_error, [site]) => site?.getFileName();
    const file: unknown = new Error('for its stack').stack;
    if (typeof file !== 'string') return undefined;
    const path = file.startsWith('file:') ? fileURLToPath(file) : file;
    return isAbsolute(path) ? path : undefined;
  } catch {
    return undefined; // The program has frozen Error.
  } finally {
    Object.assign(Error, { prepareStackTrace, stackTraceLimit });
  }
}

/**
 * Whether others may create files in a directory, but may not replace existing ones such as the
 * program: /tmp, for example.
 */
function isShared(directory: string): boolean {
  try {
    return (fs.statSync(directory).mode & 0o1002) === 0o1002;
  } catch {
    return false; // A directory of the runtime's own.
  }
}

/**
 * Explains why a file could not be loaded. `missing` is the sentence for a file that does not
 * exist.
 */
function explained(cause: unknown, path: string, missing: string): Error {
  const message = cause instanceof Error ? (cause.message.split('\n', 1)[0] ?? '') : String(cause);
  if ((cause as { readonly code?: unknown } | undefined)?.code === 'ERR_DLOPEN_DISABLED')
    return failure(
      'permission' in process
        ? "Node's permission model forbids addons. Start Node with --allow-addons, too."
        : 'Node was started with --no-addons. Start it without that option, in NODE_OPTIONS, too.',
      cause,
    );
  if (isDeniedByDeno(cause)) return failure(`Deno does not permit it: ${message.replace(/\.$/, '')}.`, cause);
  if (isDlopenError(cause) && /failed to map segment|Operation not permitted/.test(message))
    return failure(
      `the file system of ${path} is mounted noexec. Move the program, or set REUSEADDR_ADDON to the absolute path of a copy elsewhere.`,
      cause,
    );
  if (isDlopenError(cause) && fs.existsSync(path)) return failure(`${message.replace(/\.$/, '')}.`, cause);
  if (!targets.includes(target))
    return failure(
      `there is none for this platform, only for ${targets.join(', ')}. Build it: run \`npm run build\` in a checkout of reuseaddr, ` +
        'which needs a C compiler (cc, or the one in $CC), and set REUSEADDR_ADDON to the absolute path of the file.',
      cause,
    );
  return failure(missing, cause);
}

function isDlopenError(error: unknown): boolean {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  return typeof code === 'string' && code.startsWith('ERR_DLOPEN_');
}

/** Returns the error for an addon that cannot be used, and why. */
export function failure(why: string, cause?: unknown): Error {
  const error = new Error(`Cannot load reuseaddr's native addon for ${target}: ${why}`, { cause });
  return Object.assign(error, { code: 'ERR_REUSEADDR_ADDON' });
}
