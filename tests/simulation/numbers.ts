/** Gives equal values equal numbers, counted from 0. */
export class Numbers<Value> {
  readonly values: Value[] = [];
  readonly #ids = new Map<string, number>();

  id(value: Value, key: string = keyOf(value)): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    this.#ids.set(key, this.values.length);
    return this.values.push(value) - 1;
  }
}

/** A text that equal values share, and no others. */
export function keyOf(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return { bigint: String(part) };
    if (part === undefined) return { undefined: true };
    if (typeof part === 'function' || typeof part === 'symbol') throw new Error('only plain values can be compared');
    return part;
  });
}
