/** The options of `listen` that REUSEADDR may choose, for programs that can't be changed. */
const choices = ['wait', 'takeover', 'handover'] as const;

/** What REUSEADDR asks for. By default none of them: `server.listen` keeps Node's synchronous meaning. */
export type PreloadOptions = { readonly [Choice in (typeof choices)[number]]: boolean };

/**
 * Reads REUSEADDR: unset or empty for the default, `off`, or a comma-separated list of `wait`, `takeover` and `handover`.
 * Undefined: the preload is switched off.
 *
 * @throws Error with the code `ERR_REUSEADDR_ENVIRONMENT` for anything else, so that a misspelt word is not taken for the default.
 */
export function readEnvironment(environment: Readonly<Record<string, string | undefined>>): PreloadOptions | undefined {
  const text = environment['REUSEADDR'] ?? '';
  const words = text.split(',').map((word) => word.trim());
  if (words.length === 1 && words[0] === 'off') return undefined;
  if (words.length === 1 && words[0] === '') return choose([]);
  const unknown = words.find((word) => !(choices as readonly string[]).includes(word));
  if (unknown !== undefined) throw misspelt(text, unknown);
  return choose(words);
}

function choose(words: readonly string[]): PreloadOptions {
  return { wait: words.includes('wait'), takeover: words.includes('takeover'), handover: words.includes('handover') };
}

function misspelt(text: string, word: string): Error {
  const why =
    word === 'off'
      ? '"off" cannot be combined with others'
      : word === ''
        ? 'a word is missing'
        : `it has no ${JSON.stringify(word)}`;
  const message =
    `Cannot start with REUSEADDR=${JSON.stringify(text)}: ${why}. ` +
    `Set it to "off", to a comma-separated list of ${choices.map((choice) => `"${choice}"`).join(', ')}, or not at all.`;
  return Object.assign(new Error(message), { code: 'ERR_REUSEADDR_ENVIRONMENT' });
}
