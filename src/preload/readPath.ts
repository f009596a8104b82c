import { abstractBytesMax, byteLength, parseAddress } from '../address/address.js';
import { readRequest, type ListenOptions, type Request } from '../request/readRequest.js';
import { explainMistakes } from '../request/mistake.js';
import type { PreloadOptions } from './preloadOptions.js';

/** The backlog that node:net passes to listen(2) by default. */
const backlogDefault = 511;

/**
 * Node 20 pads an abstract name with NULs to the end of sun_path, and connects to that name too.
 */
const padsAbstractNames = Number.parseInt(process.versions.node, 10) < 22;

/**
 * Reads a path for `server.listen` in Node's meaning: `@app` is a file, an abstract name begins
 * with a NUL, the mode is 0777 less the umask, and every peer is let in. Undefined: Node refuses or
 * handles it as usual.
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
  const asked: ListenOptions = {
    ...options,
    onDisplaced: rebind ? 'rebind' : 'report',
    backlog: usable ? backlog : backlogDefault,
  };
  const request = explainMistakes(text, 'listen on', () => readRequest(text, asked));
  return {
    ...request,
    address: address.kind === 'abstract' ? { kind: 'abstract', name: spell(address.name) } : request.address,
    terms: { ...request.terms, mode: undefined, lockFile: 'remove-made' },
    judge: undefined,
  };
}

/** Returns the name that this Node's own clients connect to. */
function spell(name: string): string {
  return padsAbstractNames ? name + '\0'.repeat(abstractBytesMax - byteLength(name)) : name;
}
