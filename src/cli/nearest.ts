/**
 * Returns the word that was probably meant: one that differs in at most two letters. Undefined:
 * there is none.
 */
export function nearest(given: string, words: readonly string[]): string | undefined {
  const editsMax = Math.min(2, Math.floor(given.length / 3));
  const near = words.map((word) => [word, edits(given, word)] as const).filter(([, count]) => count <= editsMax);
  return near.sort(([, one], [, other]) => one - other)[0]?.[0];
}

/** Returns how many letters have to be inserted, removed or changed (Levenshtein). */
function edits(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_none, column) => column);
  for (const [index, letter] of Array.from(from).entries()) {
    const next = [index + 1];
    for (let column = 1; column <= to.length; column++) {
      const changed = (row[column - 1] ?? 0) + (letter === to[column - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
