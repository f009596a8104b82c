import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { guardedBy } from '../address/lockName.js';

/**
 * Decides about the names of sockets: `kept.ts` and `removeDirectory.ts`, loaded when the first one
 * is to be removed or renamed.
 */
export interface Guard {
  removeSocket(path: string): boolean;
  removeDirectory(path: string): boolean;
  keepLock(socket: string): boolean;
  forbidRename(from: string, to: string): Error | undefined;
}

type Call = (this: unknown, ...args: unknown[]) => unknown;

/**
 * The decision about a call. `done`: it succeeds without node:fs. An error: it fails. Undefined:
 * node:fs performs it. A directory: node:fs performs it, and removes everything below.
 */
type Decision = 'done' | Error | undefined | { readonly directory: string };
type Decide = (...args: readonly unknown[]) => Decision;

/** Each of these has a synchronous form, one with a callback, and one in node:fs/promises. */
const names = ['unlink', 'rm', 'rmdir', 'rename'] as const;

/** The original, even if the program replaces it. */
const { lstatSync } = fs;

/**
 * The directories that node:fs is removing. It calls its own functions, which are replaced here,
 * with one name at a time. The files below have been decided about.
 */
const beingRemoved = new Set<string>();

/**
 * Replaces the functions of node:fs that remove or rename, in this thread. A file that is not a
 * socket costs one additional lstat(2). A directory that is removed recursively costs a look at the
 * kernel's sockets.
 *
 * @param load called for the first name that is a socket
 */
export function guardFiles(load: () => Guard): void {
  const decide: { readonly [Name in (typeof names)[number]]: Decide } = {
    unlink: (path) => removeSocket(load, path) ?? removeLock(load, path),
    rm: (path, options) => removeSocket(load, path) ?? removeLock(load, path) ?? removeDirectory(load, path, options),
    rmdir: (path, options) => removeDirectory(load, path, options),
    rename: (from, to) =>
      typeAt(from) === 'socket' || typeAt(to) === 'socket' ? load().forbidRename(pathOf(from), pathOf(to)) : undefined,
  };
  const callbacks = fs as unknown as Record<string, Call>;
  const promises = fs.promises as unknown as Record<string, Call>;
  for (const name of names) {
    replace(callbacks, `${name}Sync`, (original) => guardSync(original, decide[name]));
    replace(callbacks, name, (original) => guardCallback(original, decide[name]));
    replace(promises, name, (original) => guardPromise(original, decide[name]));
  }
  syncBuiltinESMExports();
}

function replace(module: Record<string, Call>, name: string, guard: (original: Call) => Call): void {
  const original = module[name];
  if (original === undefined) return;
  const { name: shown, length } = original as { name: string; length: number };
  module[name] = Object.defineProperties(guard(original), { name: { value: shown }, length: { value: length } });
}

function guardSync(original: Call, decide: Decide): Call {
  return function (...args) {
    const decision = decide(...args);
    if (decision === undefined) return original.apply(this, args);
    if (decision === 'done') return undefined;
    if (decision instanceof Error) throw decision;
    try {
      return original.apply(this, args);
    } finally {
      beingRemoved.delete(decision.directory);
    }
  };
}

function guardCallback(original: Call, decide: Decide): Call {
  return function (...args) {
    const callback = args.at(-1);
    const decision = typeof callback === 'function' ? decide(...args) : undefined;
    if (decision === undefined) return original.apply(this, args);
    if (decision === 'done') return process.nextTick(callback as Call, null);
    if (decision instanceof Error) return process.nextTick(callback as Call, decision);
    const end: Call = (...results) => {
      beingRemoved.delete(decision.directory);
      return (callback as Call)(...results);
    };
    return original.apply(this, [...args.slice(0, -1), end]);
  };
}

function guardPromise(original: Call, decide: Decide): Call {
  return function (...args) {
    const decision = decide(...args);
    if (decision === undefined) return original.apply(this, args);
    if (decision === 'done') return Promise.resolve();
    if (decision instanceof Error) return Promise.reject(decision);
    return (original.apply(this, args) as Promise<void>).finally(() => beingRemoved.delete(decision.directory));
  };
}

function removeSocket(load: () => Guard, path: unknown): Decision {
  return typeAt(path) === 'socket' && load().removeSocket(pathOf(path)) ? 'done' : undefined;
}

/**
 * Keeps the lock file of a socket that is kept. A program that empties its directory one name at a
 * time would remove it after the socket, and the next removal of the socket would find no lock.
 */
function removeLock(load: () => Guard, path: unknown): Decision {
  const socket = guardedBy(textOf(path));
  return socket !== undefined && typeAt(socket) === 'socket' && load().keepLock(socket) ? 'done' : undefined;
}

function removeDirectory(load: () => Guard, path: unknown, options: unknown): Decision {
  if ((options as { recursive?: unknown } | undefined)?.recursive !== true || typeAt(path) !== 'directory') return undefined;
  const directory = resolve(pathOf(path));
  beingRemoved.add(directory);
  let decision: Decision = 'done';
  try {
    if (!load().removeDirectory(directory)) decision = { directory };
  } finally {
    if (decision === 'done') beingRemoved.delete(directory);
  }
  return decision;
}

/**
 * Returns `none` also for calls that node:fs has to judge by itself, such as those with a wrong
 * argument.
 */
function typeAt(path: unknown): 'socket' | 'directory' | 'none' {
  let file;
  try {
    file = lstatSync(path as string, { throwIfNoEntry: false });
  } catch {
    return 'none';
  }
  const type = file?.isSocket() === true ? 'socket' : file?.isDirectory() === true ? 'directory' : 'none';
  return type === 'none' || isBeingRemoved(pathOf(path)) ? 'none' : type;
}

function isBeingRemoved(path: string): boolean {
  if (beingRemoved.size === 0) return false;
  const absolute = resolve(path);
  return [...beingRemoved].some((directory) => absolute.startsWith(`${directory}/`));
}

/** Returns a path in the form of node:fs, or an empty text if node:fs has to judge it. */
function textOf(path: unknown): string {
  try {
    return pathOf(path);
  } catch {
    return '';
  }
}

/** Returns a path in the form of node:fs. lstat(2) has succeeded on it. */
function pathOf(path: unknown): string {
  if (path instanceof URL) return fileURLToPath(path);
  return path instanceof Uint8Array ? Buffer.from(path).toString() : String(path);
}
