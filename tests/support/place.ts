import assert from 'node:assert/strict';
import { resolve, type Place } from '#dist/claim/place.js';
import { isRefusal } from '#dist/claim/refusal.js';
import { run } from '#dist/kernel/kernel.js';
import { kernel } from '#dist/kernel/posix.js';

/** The place of a path. Its directory stays pinned until the process ends. */
export function placeAt(path: string): Place {
  const target = run(kernel, resolve({ kind: 'pathname', path }));
  assert.ok(!isRefusal(target) && 'place' in target);
  return target.place;
}
