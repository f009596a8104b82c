/**
 * A set of states, each of them `width` small integers, numbered in the order of their coming. It
 * keeps the states themselves, not hashes of them: nothing is taken for known because of a
 * collision. 20 bytes a state rather than the 200 of a Map.
 */
export class StateStore {
  readonly width: number;
  count = 0;
  #words = new Uint32Array(1 << 14);
  /** Open addressing: the number of a state plus one, or 0. At most half full. */
  #slots = new Uint32Array(1 << 12);

  constructor(width: number) {
    this.width = width;
  }

  /** The number of this state, which is `count` before the call if it is new. */
  add(state: ArrayLike<number>): number {
    const mask = this.#slots.length - 1;
    let slot = this.#hash(state, 0) & mask;
    for (let known = this.#slots[slot]!; known !== 0; known = this.#slots[slot]!) {
      if (this.#isAt(known - 1, state)) return known - 1;
      slot = (slot + 1) & mask;
    }
    const id = this.count++;
    this.#slots[slot] = id + 1;
    const at = id * this.width;
    if (at + this.width > this.#words.length) this.#words = grown(this.#words);
    for (let i = 0; i < this.width; i++) this.#words[at + i] = state[i]!;
    if (this.count * 2 > this.#slots.length) this.#rehash();
    return id;
  }

  read(id: number, into: Uint32Array): void {
    for (let i = 0, at = id * this.width; i < this.width; i++) into[i] = this.#words[at + i]!;
  }

  #isAt(id: number, state: ArrayLike<number>): boolean {
    for (let i = 0, at = id * this.width; i < this.width; i++) if (this.#words[at + i] !== state[i]) return false;
    return true;
  }

  #hash(words: ArrayLike<number>, at: number): number {
    let hash = 0x9e3779b9;
    for (let i = 0; i < this.width; i++) {
      hash = Math.imul(hash ^ words[at + i]!, 0x85ebca6b);
      hash ^= hash >>> 13;
    }
    hash = Math.imul(hash, 0xc2b2ae35);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  #rehash(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let id = 0; id < this.count; id++) {
      let slot = this.#hash(this.#words, id * this.width) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = id + 1;
    }
  }
}

/** A list of integers that takes four bytes for each. */
export class IntList {
  length = 0;
  #items = new Uint32Array(1 << 12);

  push(item: number): void {
    if (this.length === this.#items.length) this.#items = grown(this.#items);
    this.#items[this.length++] = item;
  }

  at(index: number): number {
    return this.#items[index]!;
  }
}

function grown(items: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const next = new Uint32Array(items.length * 2);
  next.set(items);
  return next;
}
