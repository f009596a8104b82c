import * as fc from 'fast-check';
import type { TestContext } from 'node:test';

/** The seed of this run: printed, and given again by REUSEADDR_FUZZ_SEED. */
const seed = Number(process.env['REUSEADDR_FUZZ_SEED'] ?? Date.now() % 2 ** 31);

/**
 * Checks a property with this many generated inputs. A failure prints the input that it was shrunk
 * to.
 */
export function check<Input>(t: TestContext, runs: number, inputs: fc.Arbitrary<Input>, property: (input: Input) => void): void {
  t.diagnostic(`${runs} inputs, REUSEADDR_FUZZ_SEED=${seed}`);
  fc.assert(
    fc.property(inputs, (input) => {
      property(input);
    }),
    { numRuns: runs, seed },
  );
}

/** Control characters, surrogates, and what else a terminal or a log should not be given. */
export const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Text of all kinds: code units at random, Unicode, ASCII, escape sequences. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 300 }),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)), maxLength: 100 }),
  fc.string({
    unit: fc.constantFrom('\0', '\u001b[2J', '\u009b', '\n', '\u202e', '/', '.', '@', ' ', 'a', '"', '\\', '\ufeff'),
    maxLength: 60,
  }),
);
