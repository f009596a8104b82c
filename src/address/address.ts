import type { SocketType } from './socketType.js';

/** An address: the meaning of the caller's string. */
export type Address = Pathname | AbstractName | Pipe;

/** A socket file, `/run/app.sock`. */
export interface Pathname {
  readonly kind: 'pathname';
  /**
   * May be relative: `request/readAddress.ts` makes it absolute, `claim/place.ts` pins its
   * directory.
   */
  readonly path: string;
  /** The lock file, if the caller chose one. */
  readonly lockPath?: string;
}

/**
 * A name that exists in the network namespace, not in a directory (Linux, unix(7)): `@app`. Each
 * type of socket has names of its own.
 */
export interface AbstractName {
  readonly kind: 'abstract';
  /** The name without the leading `@` or NUL. */
  readonly name: string;
  /** Undefined: a stream. */
  readonly type?: SocketType | undefined;
}

/** A Windows pipe, `\\.\pipe\app`. Windows leaves no stale pipes, so Node handles them alone. */
export interface Pipe {
  readonly kind: 'pipe';
  readonly path: string;
}

/** Why a string is not an address. */
export interface BadAddress {
  readonly bad: 'empty' | 'nul' | 'trailing-slash' | 'abstract-too-long' | 'abstract-unsupported' | 'lock-path';
}

/**
 * The system that this code runs on. The explorer runs in a browser, which has no `process`, and
 * simulates Linux.
 */
const platform = (globalThis as { process?: { platform?: string } }).process?.platform ?? 'linux';

/**
 * sun_path holds 108 bytes on Linux, and 104 on macOS and the BSDs. The last byte is for the NUL
 * (unix(7), unix(4)).
 */
export const pathBytesMax = platform === 'linux' ? 107 : 103;

/**
 * `/proc/self/fd/1234567/`: the bytes of sun_path that a long path costs instead of its directory.
 * Only Linux has it.
 */
const descriptorPathBytesMax = 22;

/** The longest last component of a path that does not fit sun_path as a whole. */
export const longNameBytesMax = platform === 'linux' ? pathBytesMax - descriptorPathBytesMax : 0;

/** An abstract name may use every byte of sun_path after the first one. */
export const abstractBytesMax = 107;

/**
 * Reads an address. `@app` and (Node's own spelling) `\0app` are abstract names; write `./@app` for
 * a file of that name.
 */
export function parseAddress(text: string, lockPath?: string, system: string = platform): Address | BadAddress {
  if (text === '') return { bad: 'empty' };
  if (system === 'win32' && /^[\\/]{2}[.?][\\/]pipe[\\/]/i.test(text)) return { kind: 'pipe', path: text };
  if (text.startsWith('@') || text.startsWith('\0')) return parseAbstract(text.slice(1), system, lockPath);
  if (text.includes('\0')) return { bad: 'nul' };
  if (isDirectoryName(text)) return { bad: 'trailing-slash' };
  if (lockPath === undefined) return { kind: 'pathname', path: text };
  if (lockPath === '' || lockPath.includes('\0') || isDirectoryName(lockPath)) return { bad: 'lock-path' };
  return { kind: 'pathname', path: text, lockPath };
}

function parseAbstract(name: string, system: string, lockPath: string | undefined): AbstractName | BadAddress {
  if (system !== 'linux') return { bad: 'abstract-unsupported' };
  if (name === '') return { bad: 'empty' };
  if (!fits(name, abstractBytesMax)) return { bad: 'abstract-too-long' };
  if (lockPath !== undefined) return { bad: 'lock-path' };
  return { kind: 'abstract', name };
}

/** `/run/`, `.` and `/run/..` can only be directories. */
function isDirectoryName(path: string): boolean {
  return /(^|\/)\.{0,2}$/.test(path);
}

/**
 * Whether a text has at most `bytesMax` bytes. Most texts are so short that they need not be
 * encoded.
 */
export function fits(text: string, bytesMax: number): boolean {
  return text.length <= bytesMax && (text.length * 3 <= bytesMax || byteLength(text) <= bytesMax);
}

/** Returns the length in UTF-8, the encoding that Node uses for path names. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
