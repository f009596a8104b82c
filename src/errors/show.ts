/**
 * An address on one line, fit for a terminal, and different for different addresses: an abstract name has a NUL before it in Node's
 * spelling, and names may hold anything. Also escapes what JSON leaves as it is: C1 controls (U+009B begins an escape sequence, as
 * ESC [ does) and bidirectional marks.
 */
export function show(address: string): string {
  return JSON.stringify(address.replace(/^\0/, '@'))
    .slice(1, -1)
    .replaceAll(String.raw`\"`, '"')
    .replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, escape);
}

/** An address in a message, where an empty one has to be visible too. */
export function quote(address: string): string {
  return address === '' ? "''" : show(address);
}

function escape(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}
