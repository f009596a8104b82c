import { parseAddress, type Address, type BadAddress } from '../address/address.js';
import { SocketAddressError, type Reason } from '../errors/error.js';
import { quote, show, type Task } from '../errors/explain.js';

/** Reads an address. Throws what is wrong with it, before anything is touched. */
export function readAddress(text: string, lockPath?: string, task?: Task): Address {
  if (typeof text !== 'string') throw bad(String(text), 'bad-address', 'ERR_INVALID_ARG_TYPE', 'an address is a string', task);
  const address = parseAddress(text, process.platform, lockPath);
  if ('bad' in address) throw badAddress(text, address.bad, task);
  if (address.kind !== 'pathname') return address;
  const path = absolute(address.path);
  return address.lockPath === undefined ? { ...address, path } : { ...address, path, lockPath: absolute(address.lockPath) };
}

/**
 * A path as it is meant now. Whoever waits for an address, or takes it over, looks at it again later, and chdir(2) may come between.
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
  switch (why) {
    case 'empty':
      return bad(text, 'bad-address', 'EINVAL', 'the address is empty', task);
    case 'nul':
      return bad(text, 'bad-address', 'EINVAL', 'a pathname cannot hold a NUL', task);
    case 'trailing-slash':
      return bad(text, 'bad-address', 'EISDIR', 'the path is that of a directory; a socket needs a file name', task);
    case 'abstract-too-long':
      return bad(text, 'bad-address', 'ENAMETOOLONG', 'an abstract name has at most 107 bytes', task);
    case 'abstract-unsupported':
      return bad(
        text,
        'unsupported',
        'ENOTSUP',
        `abstract names exist on Linux only. For a file of that name write ./${show(text)}`,
        task,
      );
    case 'lock-path':
      return bad(text, 'bad-option', 'EINVAL', 'lockPath must be the path of a file, and an abstract name needs none', task);
  }
}

/** An option that we don't know is one that was misspelt, and would be missed in silence. */
export function refuseUnknown(text: string, options: object, known: readonly string[], task?: Task): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue;
    throw bad(text, 'bad-option', 'EINVAL', `there is no option "${show(name)}", only ${known.join(', ')}`, task);
  }
}

/** The error for bad input. */
export function bad(address: string, reason: Reason, code: string, why: string, task: Task = 'listen on'): SocketAddressError {
  const syscall = task === 'connect to' ? 'connect' : undefined;
  return new SocketAddressError(`Cannot ${task} ${quote(address)}: ${why}.`, { code, reason, address, syscall });
}
