import type { Advice, FrontEnd, Words } from '../errors/advice.js';
import type { Option } from './command.js';

/**
 * Each advice in the words of the command line, with the option that the command must have for it.
 */
const advice = {
  wait: ['wait', 'wait for it with --wait'],
  longer: ['wait', 'wait for it with --wait'],
  takeover: ['takeover', 'take it over with --takeover'],
  handover: ['handover', 'start it again with --handover'],
  lockPath: ['lock-path', 'choose another lock file with --lock-path'],
  allow: ['allow', 'restrict peers with --allow'],
} satisfies Record<Advice, readonly [option: string, words: string]>;

/**
 * Makes a front end from the options of a command. It advises nothing that the command cannot do.
 */
export function frontEndOf(options: Readonly<Record<string, Option>>): FrontEnd {
  const spelled = Object.entries(advice).map(([name, [option, words]]) => [
    name,
    Object.hasOwn(options, option) ? words : undefined,
  ]);
  return {
    advice: Object.fromEntries(spelled) as Words,
    option: (name) => `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
  };
}
