/** The page's words for things that the simulation identifies by a letter or a word. */

export const outsiderWords: readonly (readonly [letter: string, name: string, what: string])[] = [
  ['K', 'cleaner', 'locks the lock file for a moment, as systemd-tmpfiles does'],
  ['S', 'stranger', 'binds the path without the lock'],
  ['T', 'usurper', 'unlinks the path, and binds it without the lock'],
  ['U', 'unlinker', 'unlinks the socket file'],
  ['R', 'renamer', 'renames a regular file over the path'],
  ['L', 'lock unlinker', 'unlinks the lock file'],
  ['M', 'lock unlinker', 'unlinks the lock file'],
];

export const guaranteeWords: readonly (readonly [name: string, words: string])[] = [
  ['G1', 'one holder'],
  ['G2', 'no theft'],
  ['G3', 'always restarts'],
  ['G4', 'nothing lost'],
  ['G5', 'clean release'],
  ['G6', 'never wider than asked'],
  ['G8', 'nothing left open'],
];

export const doingWords = {
  idle: 'not running',
  starting: 'starting',
  holding: 'holds the address',
  releasing: 'stopping',
  dying: 'dying',
  meddling: 'at work',
  done: 'done',
} as const;
