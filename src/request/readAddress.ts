import { parseAddress, type AbstractName, type Address, type BadAddress, type Pathname } from '../address/address.js';
import type { Wrong } from '../errors/explain.js';
import { kindOf } from '../errors/kind.js';
import { show } from '../errors/show.js';
import { badOption, Mistake } from './mistake.js';

/** Reads an address. Throws a `Mistake` if it is wrong, before anything is touched. */
export function readAddress(text: string, lockPath?: string): Pathname | AbstractName {
  const address = readDestination(text, lockPath);
  if (address.kind !== 'pipe') return address;
  const wrong = 'Windows keeps no stale pipes, so a pipe needs no claim';
  throw new Mistake('unsupported', 'ENOTSUP', { wrong, right: 'use server.listen() for it' });
}

/** Reads the address of a client, which may be a Windows pipe. */
export function readDestination(text: string, lockPath?: string): Address {
  if (typeof text !== 'string') throw notText(text);
  const mistaken = mistake(text);
  if (mistaken !== undefined) throw new Mistake('bad-address', 'EINVAL', mistaken);
  if (lockPath !== undefined && typeof lockPath !== 'string')
    throw badOption('lockPath', `must be a path, and this is ${kindOf(lockPath)}`);
  const address = parseAddress(text, lockPath);
  if ('bad' in address) throw badAddress(text, address.bad);
  if (address.kind !== 'pathname') return address;
  const path = absolute(address.path);
  return address.lockPath === undefined ? { ...address, path } : { ...address, path, lockPath: absolute(address.lockPath) };
}

function notText(value: unknown): Mistake {
  const right = value instanceof URL ? 'pass fileURLToPath(url)' : adviceFor[typeof value];
  const wrong = `the address must be a string, and this is ${kindOf(value)}`;
  return new Mistake('bad-address', 'ERR_INVALID_ARG_TYPE', { wrong, right });
}

const adviceFor: Readonly<Record<string, string | undefined>> = {
  number: 'pass a path; for a TCP port there is server.listen(port)',
  object: 'pass the path itself, such as /run/app.sock',
  function: 'pass the path itself, such as /run/app.sock',
};

/**
 * Recognises strings that the kernel takes for a path, but that the caller hardly means as one.
 * Each can be written with `./` before it.
 */
function mistake(text: string): Wrong | undefined {
  const url = /^(?:https?\+unix|unix|file|tcp|https?):(?:\/\/)?(.*)$/i.exec(text);
  const path = url?.[1] ?? '';
  if (path !== '')
    return { wrong: 'it is a URL, and an address is a path', right: path.startsWith('/') ? `write ${show(path)}` : asFile(text) };
  if (/^~(?:[^/]*\/|$)/.test(text))
    return {
      wrong: "~ is a shell's word for a home directory",
      right: `write the whole path, with os.homedir(), or ${asFile(text)}`,
    };
  if (/^\$(?:\{\w+\}|\w+(?:\/|$))/.test(text))
    return {
      wrong: 'it begins with a variable, which only a shell replaces',
      right: `write the whole path, with process.env, or ${asFile(text)}`,
    };
  if (/^\d{1,5}$/.test(text))
    return { wrong: 'it is a number, as of a TCP port', right: `call server.listen(${text}) for a port, or ${asFile(text)}` };
  if (/^(?:[\w.-]*|\[[\da-f:.]+\]):\d{1,5}$/i.test(text))
    return { wrong: 'it is a host and a TCP port', right: `pass a path, or ${asFile(text)}` };
  return undefined;
}

function asFile(text: string): string {
  return `write ./${show(text)} for a file of that name`;
}

/**
 * Makes a path absolute now: a start that waits or takes over uses it again later, perhaps after a
 * chdir(2).
 *
 * path.resolve would be wrong: it resolves `..` before symlinks, and the kernel does not.
 */
function absolute(path: string): string {
  if (path.startsWith('/') || process.platform === 'win32') return path;
  let directory;
  try {
    directory = process.cwd();
  } catch {
    return path; // The working directory was removed, so the path does not exist. The system call will say so.
  }
  return `${directory === '/' ? '' : directory}/${path}`;
}

function badAddress(text: string, why: BadAddress['bad']): Mistake {
  const bad = (code: string, wrong: string, right?: string): Mistake => new Mistake('bad-address', code, { wrong, right });
  switch (why) {
    case 'empty':
      return bad('EINVAL', 'the address is empty', 'pass a path, or @ and an abstract name');
    case 'nul':
      return bad('EINVAL', 'a pathname cannot hold a NUL');
    case 'trailing-slash':
      return bad('EISDIR', 'the path is that of a directory', 'add a file name');
    case 'abstract-too-long':
      return bad('ENAMETOOLONG', 'an abstract name has at most 107 bytes', 'use a shorter one');
    case 'abstract-unsupported':
      return new Mistake('unsupported', 'ENOTSUP', { wrong: 'abstract names exist on Linux only', right: asFile(text) });
    case 'lock-path':
      return badOption('lockPath', 'must be the path of a file, and an abstract name needs none');
  }
}
