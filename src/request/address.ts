import { parseAddress, type Address, type BadAddress } from '../address/address.js';
import type { SocketAddressError } from '../errors/error.js';
import { explainWrong } from '../errors/explain.js';
import type { Task } from '../errors/message.js';
import { show } from '../errors/show.js';

/** Reads an address. Throws what is wrong with it, before anything is touched. */
export function readAddress(text: string, lockPath?: string, task?: Task): Address {
  if (typeof text !== 'string') {
    throw explainWrong(String(text), 'bad-address', 'ERR_INVALID_ARG_TYPE', { wrong: 'an address is a string' }, task);
  }
  const address = parseAddress(text, process.platform, lockPath);
  if ('bad' in address) throw badAddress(text, address.bad, task);
  if (address.kind !== 'pathname') return address;
  const path = absolute(address.path);
  return address.lockPath === undefined ? { ...address, path } : { ...address, path, lockPath: absolute(address.lockPath) };
}

/**
 * A path as it is meant now. A start that waits for an address, or takes it over, looks at it again later, and chdir(2) may come
 * between.
 *
 * Not path.resolve: it takes the `..` of a symlink for the directory that the link is in, and the kernel does not.
 */
function absolute(path: string): string {
  if (path.startsWith('/') || process.platform === 'win32') return path;
  let directory;
  try {
    directory = process.cwd();
  } catch {
    return path; // It has been removed, so there is no such path, and that is what will be said.
  }
  return `${directory === '/' ? '' : directory}/${path}`;
}

function badAddress(text: string, why: BadAddress['bad'], task: Task | undefined): SocketAddressError {
  const wrong = (code: string, clause: string, right?: string): SocketAddressError =>
    explainWrong(text, 'bad-address', code, { wrong: clause, right }, task);
  switch (why) {
    case 'empty':
      return wrong('EINVAL', 'the address is empty', 'pass a path, or @ and an abstract name');
    case 'nul':
      return wrong('EINVAL', 'a pathname cannot hold a NUL');
    case 'trailing-slash':
      return wrong('EISDIR', 'the path is that of a directory', 'add a file name');
    case 'abstract-too-long':
      return wrong('ENAMETOOLONG', 'an abstract name has at most 107 bytes', 'use a shorter one');
    case 'abstract-unsupported':
      return explainWrong(
        text,
        'unsupported',
        'ENOTSUP',
        { wrong: 'abstract names exist on Linux only', right: `write ./${show(text)} for a file of that name` },
        task,
      );
    case 'lock-path':
      return badOption(text, 'lockPath', 'must be the path of a file, and an abstract name needs none', undefined, task);
  }
}

/** An option that we don't know is one that was misspelt, and would be missed in silence. */
export function refuseUnknown(text: string, options: object, known: readonly string[], task?: Task): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue;
    const wrong = `there is no option "${show(name)}", only ${known.join(', ')}`;
    throw explainWrong(text, 'bad-option', 'EINVAL', { wrong }, task);
  }
}

/** The error for an option with a value that it cannot have: `mode must be an integer`. */
export function badOption(address: string, option: string, wrong: string, right?: string, task?: Task): SocketAddressError {
  return explainWrong(address, 'bad-option', 'EINVAL', { option, wrong, right }, task);
}
