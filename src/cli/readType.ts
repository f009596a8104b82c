import { socketTypes, type SocketType } from '../address/socketType.js';
import { show } from '../errors/show.js';
import { UsageError } from './command.js';

/** Reads the option --type. */
export function readType(value: string | boolean | undefined): SocketType | undefined {
  if (value === undefined) return undefined;
  const type = socketTypes.find((each) => each === value);
  if (type !== undefined) return type;
  const any = new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(socketTypes);
  throw new UsageError(`--type takes ${any}, not '${show(String(value))}'`);
}
