import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { SocketType } from '#dist/address/socketType.js';
import type * as acquiring from '#dist/claim/acquire.js';
import type * as placing from '#dist/claim/place.js';
import type * as releasing from '#dist/claim/release.js';
import type * as unlocking from '#dist/claim/removeLock.js';
import type * as cleaning from '#dist/claim/removeStale.js';
import { cleanersRecord, terms } from './scenarios.js';
import type { Code } from './exchange.js';
import type { Scheme } from './lives.js';

/**
 * A change to the compiled protocol: the text `from` in `dist/claim/<file>.js`, which must be there
 * exactly once.
 */
export interface Edit {
  readonly file: 'acquire' | 'bindUnderLock' | 'lock' | 'probe' | 'release' | 'removeLock' | 'removeStale' | 'removeIf';
  readonly from: string;
  readonly to: string;
}

const root = new URL('../../../', import.meta.url);

/** Loads the production code with some lines changed, as a scheme. */
export async function mutate(edits: readonly Edit[], type?: SocketType): Promise<Scheme> {
  const { acquire, release, removeStale } = await mutateCode(edits);
  return {
    start: (place) => acquire(place, { ...terms, type }),
    release,
    clean: (place) => removeStale({ place, guards: [place], record: cleanersRecord }),
  };
}

/** The same, with `clean --locks` alone. */
export async function mutateLocks(edits: readonly Edit[]): Promise<Scheme> {
  const { acquire, release, removeLock } = await mutateCode(edits);
  return {
    start: (place) => acquire(place, terms),
    release,
    clean: (place) => removeLock(place, cleanersRecord),
  };
}

/**
 * Loads the production code with some lines changed. A line that isn't there any more is an error:
 * no mutant dies unnoticed.
 */
export async function mutateCode(
  edits: readonly Edit[],
): Promise<Code & Pick<typeof cleaning, 'removeStale'> & Pick<typeof unlocking, 'removeLock'>> {
  // Below the package, whose package.json says that these are ES modules; in a folder of its own,
  // since test files run side by side.
  mkdirSync(new URL('build/mutants/', root), { recursive: true });
  const folder = mkdtempSync(fileURLToPath(new URL('build/mutants/', root)));
  for (const layer of ['claim', 'kernel', 'address']) {
    cpSync(fileURLToPath(new URL(`dist/${layer}`, root)), join(folder, layer), { recursive: true });
  }
  for (const { file, from, to } of edits) {
    const path = join(folder, `claim/${file}.js`);
    const text = readFileSync(path, 'utf8');
    assert.equal(text.split(from).length - 1, 1, `"${from}" must be in ${file}.js exactly once, or this mutant changes nothing`);
    writeFileSync(
      path,
      text.replace(from, () => to),
    );
  }
  const load = (file: string): Promise<unknown> => import(pathToFileURL(join(folder, `claim/${file}.js`)).href);
  const { acquire } = (await load('acquire')) as typeof acquiring;
  const { release } = (await load('release')) as typeof releasing;
  const { placeIn, resolve } = (await load('place')) as typeof placing;
  const { removeStale } = (await load('removeStale')) as typeof cleaning;
  const { removeLock } = (await load('removeLock')) as typeof unlocking;
  rmSync(folder, { recursive: true });
  return { acquire, release, placeIn, resolve, removeLock, removeStale };
}
