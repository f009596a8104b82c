import { abstractBytesMax, byteLength, parseAddress } from '../address/address.js';
import { readRequest, type ListenOptions, type Request } from '../request/options.js';
import type { PreloadOptions } from './options.js';

/** What node:net passes to listen(2) where the program says nothing. */
const backlogDefault = 511;

/** Node 20 fills an abstract name with NULs up to the end of sun_path, and looks for it so too. */
const padsAbstractNames = Number.parseInt(process.versions.node, 10) < 22;

/**
 * What a path that was given to `server.listen` asks for, in Node's meaning: `@app` is a file, an abstract name begins with a NUL,
 * the mode is what bind(2) gives, 0777 less the umask, and every peer is let in. Undefined: not ours, but for Node to refuse or
 * to do as ever.
 */
export function readPath(
  path: string,
  backlog: number | false | undefined,
  { rebind = false, ...options }: Partial<PreloadOptions> & Pick<ListenOptions, 'signal'>,
): Request | undefined {
  const text = /^[/\0]/.test(path) ? path : `./${path}`;
  const address = parseAddress(text);
  if ('bad' in address || address.kind === 'pipe') return undefined;
  const usable = typeof backlog === 'number' && Number.isInteger(backlog) && backlog > 0 && backlog < 0x8000_0000;
  const request = readRequest(text, {
    ...options,
    onDisplaced: rebind ? 'rebind' : 'report',
    backlog: usable ? backlog : backlogDefault,
  });
  return {
    ...request,
    address: address.kind === 'abstract' ? { kind: 'abstract', name: spell(address.name) } : request.address,
    terms: { ...request.terms, mode: undefined },
    judge: undefined,
  };
}

/** The name as this Node's own clients look for it. */
function spell(name: string): string {
  return padsAbstractNames ? name + '\0'.repeat(abstractBytesMax - byteLength(name)) : name;
}
