import { stripVTControlCharacters } from 'node:util';
import { show } from '../errors/show.js';
import type { Inspection } from '../inspect/inspect.js';
import { userName } from '../holder/users.js';
import type { AddressState } from '../inspect/inspect.js';
import type { Style } from './terminal.js';

export const stateStyles: Readonly<Record<AddressState | 'displaced', Style>> = {
  listening: 'green',
  starting: 'yellow',
  stale: 'red',
  stray: 'cyan',
  blocked: 'red',
  displaced: 'magenta',
  free: 'dim',
};

export function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

const userNames = new Map<number, string>();

/** Returns a user's name, or number if it has no name. */
export function userOf(uid: number): string {
  const known = userNames.get(uid) ?? userName(uid) ?? String(uid);
  userNames.set(uid, known);
  return show(known);
}

/** Returns `0/4096`: how many connections wait to be accepted, and how many may wait. */
export function queueOf({ waiting, backlog }: { waiting?: number | undefined; backlog?: number | undefined }): string {
  return waiting === undefined || backlog === undefined ? '-' : `${waiting}/${backlog}`;
}

export function holderOf({ holder, instances = [] }: Pick<Inspection, 'holder' | 'instances'>): string {
  if (holder === undefined) return '-';
  const host = holder.host === undefined ? '' : ` on ${holder.host}`;
  const below = instances.length === 0 ? '' : ` (${instances.join(', ')})`;
  return `${holder.pid}${host}${below} ${holder.command ?? ''}`.trim();
}

/**
 * Shortens an address for a table. Node 20 pads abstract names with NULs: such a run is counted
 * instead of spelled out.
 */
export function showBriefly(address: string): string {
  return show(address).replaceAll(/(?:\\u0000){4,}/g, (run) => `\\u0000×${run.length / 6}`);
}

/**
 * Formats one line of JSON. Inodes are strings, since they may exceed the exact range of a JSON
 * number. Modes are octal strings, as people read them, and dates are ISO 8601.
 */
export function json(value: object): string {
  return JSON.stringify(value, (key, part: unknown) => {
    if (typeof part === 'bigint') return String(part);
    return key === 'mode' && typeof part === 'number' ? octal(part) : part;
  });
}

/** Formats a JSON array with one element on each line: one document for jq, and lines for grep. */
export function jsonLines(values: readonly object[]): string {
  return values.length === 0 ? '[]\n' : `[\n${values.map(json).join(',\n')}\n]\n`;
}

/**
 * Wraps a text that begins in column `indent` to the width of the terminal. Further lines begin
 * below its first character. A word that is too long stays whole, because people copy it.
 */
export function wrap(text: string, indent: number, columns: number = Infinity): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    const fits = line !== undefined && indent + widthOf(stripVTControlCharacters(`${line} ${word}`)) <= columns;
    if (fits) lines.push(`${lines.pop()} ${word}`);
    else lines.push(word);
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}

/**
 * Returns how many columns of a terminal a text takes: a combining mark takes none; a wide East
 * Asian character or an emoji takes two.
 */
export function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue;
    width += wide.test(character) ? 2 : 1;
  }
  return width;
}

const wide =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u30ff\uff01-\uff60]/u;
