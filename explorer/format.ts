import { AT_FDCWD, type FileStatus, type SystemCall } from '#dist/kernel/kernel.js';
import { halfway } from '../tests/simulation/systemCalls.js';

/** The flags of every open; the legend mentions them. */
const usualFlags = new Set(['O_NOFOLLOW', 'O_NONBLOCK', 'O_CLOEXEC']);

/** Shortens a path to its part below the one directory. */
export function formatPath(path: string): string {
  return path.replace(/^\/run\//, '');
}

export function formatMode(mode: number): string {
  return `0${mode.toString(8)}`;
}

export function formatArguments({ name, args }: SystemCall): string {
  const all = (args as readonly unknown[]).map((arg, index) => {
    if (typeof arg === 'string') return arg.startsWith('O_') ? formatFlags(arg) : formatPath(arg);
    const isMode =
      (name === 'openat' && index === 3) || (name === 'fchmodat' && index === 2) || (name === 'fchmod' && index === 1);
    return isMode ? formatMode(arg as number) : JSON.stringify(arg);
  });
  const texts = args[0] === AT_FDCWD ? all.slice(1) : all;
  // openat(2) reads its mode only if it creates; the flags of rename may be empty.
  const superfluous = (name === 'openat' && args[3] === 0) || texts.at(-1) === '';
  return (superfluous ? texts.slice(0, -1) : texts).join(', ');
}

function formatFlags(flags: string): string {
  return flags
    .split('|')
    .filter((flag) => !usualFlags.has(flag))
    .join('|');
}

export function formatAnswer(answer: unknown): string {
  if (answer === halfway) return '… half done';
  if (typeof answer !== 'object' || answer === null) return String(answer);
  const { type, ino, text } = answer as Partial<FileStatus & { text: string }>;
  if (text !== undefined) return JSON.stringify(text);
  return type === undefined ? `inode ${ino}` : `${type}, inode ${ino}`;
}

export function isErrno(answer: unknown): boolean {
  return typeof answer === 'string' && /^E[A-Z]/.test(answer);
}

export function formatCount(count: number): string {
  return count < 1e15 ? count.toLocaleString('en') : count.toExponential(1).replace(/e\+(\d+)/, ' · 10^$1');
}

export function formatSeconds(seconds: number): string {
  return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
}

/** Returns `A`, `A and B`, or `A, B and C`. */
export function formatList(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}
