import fs from 'node:fs';
import os from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import type * as Sea from 'node:sea';
import { fileURLToPath } from 'node:url';
import { explained, failure, isDisabled, isTelling, messageOf, target } from './addonFailure.js';
import { permitted } from './runtime.js';

/**
 * Node's own `module`, in a CommonJS file that runs as it was installed. If a bundler inlines the
 * file, this is another `module` or none.
 */
declare const module: { readonly filename?: unknown } | undefined;
declare const require: (path: string) => unknown;
declare const __filename: string | undefined;

const fileName = `reuseaddr.${target}.node`;

/**
 * Loads native/ as it was compiled for this platform. It tries, in this order:
 *
 * 1. The file that `REUSEADDR_ADDON` names.
 * 2. In an installed package, the file next to the code.
 * 3. In a single executable application, the asset with the file's name.
 * 4. In a bundle, the bundler's result of the calls in `requireAddon`; then the file next to the
 *   bundle.
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
  const sea = executable();
  // Node gives the code of an executable the path that its file had on the build machine, where
  // the addon must not be looked for.
  const file = sea === undefined ? ownFile() : process.execPath;
  const directory = file === undefined ? undefined : dirname(file);
  // Node's global `require`, for code on its command line, searches the working directory.
  const searched = [directory, 'require' in globalThis ? process.cwd() : undefined];
  const shared = searched.find((each) => each !== undefined && isShared(each));
  const nextTo = join(directory ?? '', fileName);
  const attempts: (() => unknown)[] = sea === undefined ? [] : [() => openAsset(sea)];
  if (shared === undefined)
    attempts.push(
      () => resolved(requireAddon(), directory),
      () => open(nextTo),
    );
  const errors: unknown[] = [];
  for (const attempt of attempts) {
    try {
      return attempt();
    } catch (error) {
      errors.push(error);
    }
  }
  const told = errors.find(isTelling);
  if (told === undefined && shared !== undefined)
    throw failure(
      `it would be looked for in ${shared}, where every user may create files. ` +
        'Move the program to a directory of its own, or set REUSEADDR_ADDON to the absolute path of the addon.',
    );
  throw explained(
    told ?? errors[0],
    nextTo,
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

type Executable = typeof Sea;

/** Returns Node's module for single executable applications if this is one. */
function executable(): Executable | undefined {
  // Bun and Deno do not have it.
  const sea = process.getBuiltinModule('node:sea') as Executable | undefined;
  return sea?.isSea() === true ? sea : undefined;
}

/**
 * Loads the asset of a single executable application. dlopen(3) accepts only a file, so the asset
 * goes through one that only this user can reach.
 */
function openAsset(sea: Executable): unknown {
  const asset = sea.getRawAsset(fileName);
  let directory: string | undefined;
  try {
    directory = fs.mkdtempSync(join(os.tmpdir(), 'reuseaddr-'));
    const path = join(directory, fileName);
    fs.writeFileSync(path, new Uint8Array(asset as ArrayBuffer));
    return open(path);
  } catch (cause) {
    if (isDisabled(cause)) throw cause;
    throw failure(
      `the executable contains it, but could not load it from a file in ${os.tmpdir()} (${messageOf(cause)}). ` +
        'Set TMPDIR to a directory that is writable and not mounted noexec, or set REUSEADDR_ADDON to the absolute path of the addon.',
      cause,
    );
  } finally {
    if (directory !== undefined) fs.rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Does the last step of `require`. The step before, resolving the path, takes three times as long
 * as loading the file.
 */
function open(path: string): unknown {
  // dlopen(3) would search the directories of libraries for a name without a slash.
  if (!isAbsolute(path)) throw new Error('The directory of the program is unknown.');
  const loaded: { exports: unknown } = { exports: {} };
  try {
    process.dlopen(loaded, path);
  } catch (error) {
    throw Object.assign(error as Error, { path });
  }
  return loaded.exports;
}

/**
 * Returns the file of this code at run time. Bundlers replace `__filename` and `import.meta.url`,
 * some by a path of the build machine. Only webpack evaluates each module, in its development mode,
 * and then it leaves `__filename` as it is.
 */
function ownFile(): string | undefined {
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Error.stackTraceLimit = 1;
    Error.prepareStackTrace = (_error, [site]) => (site?.isEval() ? fileAround() : site?.getFileName());
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

function fileAround(): string | undefined {
  return typeof __filename === 'string' ? __filename : undefined;
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
