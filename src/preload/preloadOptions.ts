import type { ListenOptions } from '../request/readRequest.js';

/**
 * The word of REUSEADDR for each option of `listen`, if REUSEADDR may choose it for programs that
 * cannot be changed. Every option has its line, so that none is forgotten. Mode, owner and peers
 * are those of plain Node, and the rest needs a program that knows about it.
 */
const offered = {
  wait: 'wait',
  takeover: 'takeover',
  handover: 'handover',
  onDisplaced: 'rebind',
  type: undefined,
  mode: undefined,
  owner: undefined,
  group: undefined,
  backlog: undefined,
  lockPath: undefined,
  lockFile: undefined,
  signal: undefined,
  allow: undefined,
} as const satisfies Record<keyof ListenOptions, string | undefined>;

type Choice = NonNullable<(typeof offered)[keyof typeof offered]>;

const choices = Object.values(offered).filter((word) => word !== undefined);

/**
 * The choices of REUSEADDR. By default there are none: `server.listen` keeps Node's synchronous
 * meaning.
 */
export type PreloadOptions = { readonly [Name in Choice]: boolean };

/** Whether a start may take time, so that `listening` comes later than Node's own. */
export function takesTime({ wait, takeover, handover }: PreloadOptions): boolean {
  return wait || takeover || handover;
}

/**
 * Reads REUSEADDR: unset or empty for the default, `off`, or a comma-separated list of `wait`,
 * `takeover`, `handover` and `rebind`. Undefined: the preload is off.
 *
 * @throws Error with the code `ERR_REUSEADDR_ENVIRONMENT` for anything else, so that a misspelt
 * word is not taken for the default.
 */
export function readEnvironment(environment: Readonly<Record<string, string | undefined>>): PreloadOptions | undefined {
  const text = environment['REUSEADDR'] ?? '';
  const words = text.split(',').map((word) => word.trim());
  if (words.length === 1 && words[0] === 'off') return undefined;
  if (words.length === 1 && words[0] === '') return choose([]);
  const unknown = words.find((word) => !choices.some((choice) => choice === word));
  if (unknown !== undefined) throw misspelt(text, unknown);
  return choose(words);
}

function choose(words: readonly string[]): PreloadOptions {
  return Object.fromEntries(choices.map((choice) => [choice, words.includes(choice)])) as PreloadOptions;
}

function misspelt(text: string, word: string): Error {
  const why =
    word === 'off'
      ? '"off" cannot be combined with other options'
      : word === ''
        ? 'a word is missing'
        : `there is no option ${JSON.stringify(word)}`;
  const message =
    `Cannot start with REUSEADDR=${JSON.stringify(text)}: ${why}. ` +
    `Set it to "off" or to a comma-separated list of ${choices.map((choice) => `"${choice}"`).join(', ')}, or leave it unset.`;
  return Object.assign(new Error(message), { code: 'ERR_REUSEADDR_ENVIRONMENT' });
}
