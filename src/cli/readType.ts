import { socketTypes, type SocketType } from '../address/socketType.js';
import { show } from '../errors/show.js';
import { UsageError } from './command.js';

/** Reads the option --type. */
export function readType(value: string | boolean | undefined): SocketType | undefined {
  if (value === undefined) return undefined;
  const type = socketTypes.find((each) => each === value);
  if (type !== undefined) return type;
  throw new UsageError(`--type takes ${socketTypes.join(', ')}, not '${show(String(value))}'`);
}
