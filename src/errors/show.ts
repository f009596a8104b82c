/**
 * Returns an address as one line that is safe on a terminal, and different for different addresses.
 *
 * JSON escapes the NUL before an abstract name, and most of what a name may contain. It leaves C1
 * controls (U+009B begins an escape sequence, like ESC [) and bidirectional marks, so these are
 * escaped here.
 */
export function show(address: string): string {
  return JSON.stringify(address.replace(/^\0/, '@'))
    .slice(1, -1)
    .replaceAll(String.raw`\"`, '"')
    .replaceAll(unprintable, escape);
}

/** A message on one line, whatever the names in it hold. Leaves what `show` has escaped. */
export function oneLine(message: string): string {
  return message.replaceAll('\n', String.raw`\n`).replaceAll(unprintable, escape);
}

/** Quotes an address for a message, so that an empty one is visible too. */
export function quote(address: string): string {
  return address === '' ? "''" : show(address);
}

const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

function escape(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}
