import { parseAddress, type Address, type BadAddress } from '../address/address.js';
import { SocketAddressError, type Reason } from '../errors/error.js';
import { show, type Task } from '../errors/explain.js';

/** Reads an address. Throws what is wrong with it, before anything is touched. */
export function readAddress(text: string, lockPath?: string, task?: Task): Address {
  if (typeof text !== 'string') throw bad(String(text), 'bad-address', 'ERR_INVALID_ARG_TYPE', 'an address is a string', task);
  const address = parseAddress(text, process.platform, lockPath);
  if ('bad' in address) throw badAddress(text, address.bad, task);
  return address;
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

/** The error for bad input. */
export function bad(address: string, reason: Reason, code: string, why: string, task: Task = 'listen on'): SocketAddressError {
  const syscall = task === 'connect to' ? 'connect' : undefined;
  return new SocketAddressError(`Cannot ${task} ${show(address)}: ${why}.`, { code, reason, address, syscall });
}
